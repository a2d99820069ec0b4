//! Trying a lake before it is used: on good disks, on bad ones, and on stores that lie.

use std::io::ErrorKind;
use std::path::Path as FsPath;
use std::sync::Arc;

use freshet_core::DestinationError;
use freshet_destinations::delta::{DurableStore, probe, probe_store};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::faulty::{Fault, FaultyStore, Request};

fn count(folder: &FsPath) -> usize {
    folder.read_dir().unwrap().count()
}

#[tokio::test]
async fn a_good_place_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("deep/lake");
    assert!(!probe(lake.to_str().unwrap(), &[]).await.unwrap());
    assert_eq!(count(folder.path()), 0);
    std::fs::create_dir_all(lake.join("logs/_delta_log")).unwrap();
    assert!(probe(lake.to_str().unwrap(), &[]).await.unwrap());
    assert!(probe(&format!("file://{}", lake.display()), &[]).await.unwrap());
    assert_eq!(count(&lake), 1);
}

#[tokio::test]
async fn a_bad_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    std::fs::create_dir(folder.path().join("100%")).unwrap();
    for (name, says) in [("file", "directory"), ("file/below", "directory"), ("100%", "% in it")] {
        let error = probe(folder.path().join(name).to_str().unwrap(), &[]).await.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
    let error = probe("ftp://bucket/lake", &[]).await.unwrap_err();
    assert!(error.to_string().contains("s3://"), "{error}");
    assert_eq!(count(folder.path()), 2);
}

async fn with(fault: Fault, request: Request, at: usize, inner: Arc<dyn ObjectStore>, folder: &Path) -> Result<(), DestinationError> {
    let store = FaultyStore::new(inner, ErrorKind::TimedOut);
    let mut seen = 0;
    store.plan(move |asked, _| {
        seen += usize::from(asked == request);
        if asked == request && seen == at { fault } else { Fault::None }
    });
    probe_store(&(Arc::new(store) as Arc<dyn ObjectStore>), folder).await
}

#[tokio::test]
async fn stores_that_fail_or_lie_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = Path::from_absolute_path(folder.path()).unwrap();
    for (fault, request, at, says) in [
        (Fault::Before, Request::Put, 1, "cannot write"),
        (Fault::After, Request::Put, 1, "cannot write"),
        (Fault::Before, Request::Put, 2, "only if the name is free"),
        (Fault::Lie, Request::Put, 2, "overwrite each other"),
        (Fault::Before, Request::Get, 1, "cannot read"),
        (Fault::Before, Request::Delete, 1, "cannot delete"),
        (Fault::Lie, Request::Delete, 1, "was deleted"),
    ] {
        let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(InMemory::new()), Arc::new(DurableStore::new(folder.path()))];
        for store in stores {
            let error = with(fault, request, at, Arc::clone(&store), &place).await.unwrap_err();
            assert!(error.to_string().contains(says), "{fault:?} {request:?} {at} of {store}: {error}");
        }
        assert_eq!(count(folder.path()), 0, "{fault:?} {request:?}: something was left behind");
    }
    with(Fault::None, Request::Put, 1, Arc::new(InMemory::new()), &Path::from("some/prefix")).await.unwrap();
}
