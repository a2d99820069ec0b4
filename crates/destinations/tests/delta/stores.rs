//! The same lake on object stores: the whole suite, writers that race, and answers that get lost, on servers of this machine.

use std::process::Command;
use std::sync::Arc;

use arrow_array::RecordBatch;
use freshet_core::{Destination, TableDef};
use freshet_destinations::delta::{Lake, LakeOptions, Place, VacuumOptions, probe};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use tempfile::TempDir;

use crate::conformance::rows::{EVENTS, KEYS, package};
use crate::conformance::{self, Subject, assert_rows, commit};
use crate::crowd::{eight_writers, writers_and_mergers};
use crate::lint::log_is_sound;
use crate::rigs::Rig;

/// A lake on a rig.
pub struct StoreLake {
    pub lake: Lake,
    pub url: String,
    options: LakeOptions,
}

impl StoreLake {
    fn fresh(rig: &Rig) -> Self {
        Self::with_options(rig, LakeOptions { storage: rig.options(), ..LakeOptions::default() })
    }

    pub(crate) fn with_options(rig: &Rig, options: LakeOptions) -> Self {
        let url = rig.fresh_lake();
        Self { lake: Lake::open(&url, options.clone()).unwrap(), url, options }
    }

    /// The lake as another process would open it.
    fn other(&self) -> Lake {
        Lake::open(&self.url, self.options.clone()).unwrap()
    }

    /// A copy of `table` in a folder, for those who read files.
    async fn copy(&self, table: &'static TableDef) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = self.lake.load(table.name).await.unwrap().unwrap().object_store();
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        for object in objects {
            let path = folder.path().join(table.name).join(object.location.as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, store.get(&object.location).await.unwrap().bytes().await.unwrap()).unwrap();
        }
        folder
    }

    async fn assert_sound(&self, table: &'static TableDef) {
        log_is_sound(&self.copy(table).await.path().join(table.name));
    }
}

impl Subject for StoreLake {
    fn destination(&self) -> &dyn Destination {
        &self.lake
    }

    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>> {
        Box::pin(async move {
            let copy = self.copy(table).await;
            let there = Lake::with_store(copy.path(), Arc::new(object_store::local::LocalFileSystem::new()), LakeOptions::default());
            crate::read(&there.unwrap(), table).await
        })
    }
}

async fn whole_suite(rig: &Rig) {
    let url = rig.fresh_lake();
    assert!(!probe(&url, &rig.options()).await.unwrap(), "a lake was there before anybody made one");
    conformance::run(|| Box::new(StoreLake::fresh(rig))).await;

    let lake = StoreLake::fresh(rig);
    eight_writers(&lake, &|| lake.other()).await;
    lake.assert_sound(&KEYS).await;
    assert!(probe(&lake.url, &rig.options()).await.unwrap());
    assert!(lake.lake.is_there().await.unwrap());
    assert_eq!(lake.lake.tables().await.unwrap(), [KEYS.name]);

    let lake = StoreLake::fresh(rig);
    writers_and_mergers(&lake, &|| lake.other()).await;
    lake.assert_sound(&EVENTS).await;
    let at_once = VacuumOptions { retention: std::time::Duration::ZERO, force: true, dry_run: false, ..VacuumOptions::default() };
    assert!(matches!(lake.lake.vacuum(EVENTS.name, &at_once).await.unwrap(), freshet_destinations::delta::Leased::Done(v) if v.files > 0));
    lake.assert_sound(&EVENTS).await;

    checkpoints_are_written_and_read(rig).await;
}

async fn checkpoints_are_written_and_read(rig: &Rig) {
    let options = LakeOptions { storage: rig.options(), checkpoint_every: 3, reopen_every: 4, ..LakeOptions::default() };
    let lake = StoreLake::with_options(rig, options);
    lake.lake.prepare(&KEYS).await.unwrap();
    for at in 0..8_u64 {
        commit(&lake.lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        lake.lake.maintain_log(KEYS.name).await.unwrap();
    }
    assert_eq!(conformance::checkpoint(&lake.other(), &KEYS, "a").await, Some(8));
    assert_rows(&lake, &KEYS, 0..8).await;
    lake.assert_sound(&KEYS).await;
}

/// Every third PUT lands, and its answer says that it did not: the client's own second try then finds its own file.
async fn lost_answers(rig: &Rig) {
    let lake = StoreLake::fresh(rig);
    lake.lake.prepare(&KEYS).await.unwrap();
    rig.lose_answers(3);
    for at in 0..12_u64 {
        let package = package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)]);
        while let Err(error) = lake.lake.commit(&package).await {
            assert!(error.is_transient(), "{error:?}");
        }
    }
    rig.lose_answers(0);
    assert_rows(&lake, &KEYS, 0..12).await;
    lake.assert_sound(&KEYS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_s3() {
    let Some(rig) = Rig::s3() else { return };
    whole_suite(&rig).await;
    lost_answers(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_google_cloud_storage() {
    let Some(rig) = Rig::gcs() else { return };
    whole_suite(&rig).await;
    lost_answers(&rig).await;
}

/// Azurite's address can only be said by the environment, so this test runs itself in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_azure() {
    if std::env::var_os("AZURITE_BLOB_STORAGE_URL").is_none() {
        let Some(rig) = Rig::azure() else { return };
        let mut inner = Command::new(std::env::current_exe().unwrap());
        inner.args(["--exact", "stores::a_lake_on_azure", "--nocapture"]).envs(rig.environment.iter().map(|(name, value)| (name, value)));
        assert!(inner.status().unwrap().success());
        return;
    }
    let rig = Rig::of_environment("az://lake");
    whole_suite(&rig).await;
}

/// Its servers take the time of a minute: full tier only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_hdfs() {
    if std::env::var_os("FRESHET_FULL").is_none() {
        eprintln!("skipped: FRESHET_FULL=1 is not set");
        return;
    }
    let Some(rig) = Rig::hdfs() else { return };
    // The data node joins a moment after the name node listens.
    let url = rig.fresh_lake();
    let begun = std::time::Instant::now();
    while let Err(error) = probe(&url, &[]).await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    whole_suite(&rig).await;
}

#[tokio::test]
async fn what_a_store_says_no_to_is_told_in_words() {
    let Some(rig) = Rig::s3() else { return };
    let error = probe("s3://no-such-bucket/lake", &rig.options()).await.unwrap_err();
    assert!(error.to_string().contains("no-such-bucket") && error.to_string().contains("Make the bucket"), "{error}");
    let odd = [("key_of_access".to_owned(), freshet_core::Secret::new("x".to_owned()))];
    let error = Place::new("s3://lake/x", &odd).err().unwrap();
    assert!(error.to_string().contains("key_of_access") && error.to_string().contains("secret_access_key"), "{error}");
}
