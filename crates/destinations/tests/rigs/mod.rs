//! Object stores on this machine: real servers and simulators, started by the test that needs them and stopped with it.
//!
//! `scripts/setup` installs them below the cache folder, which `FRESHET_CACHE` names; a test says so when one is absent.

#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

/// Time that a server may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// The account that Azurite has, and its key, both public.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A service account of Google's that needs no token.
const NO_KEY: &str = r#"{"client_email":"","private_key":"","private_key_id":"","disable_oauth":true}"#;

/// A server with an empty bucket, until dropped.
pub(crate) struct Rig {
    servers: Vec<Child>,
    /// What a server keeps on disk.
    _folder: Option<TempDir>,
    port: u16,
    /// The bucket's URL, without a slash at its end.
    bucket: String,
    /// What a program's environment must say to reach it.
    pub(crate) environment: Vec<(&'static str, String)>,
    lakes: AtomicU32,
}

impl Rig {
    /// Amazon S3, by moto.
    pub(crate) fn s3() -> Option<Self> {
        let python = installed("stores/bin/python3")?;
        let mut rig = Self::start(Command::new(python).arg(script("s3.py")), "s3://lake");
        rig.environment = vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", rig.port)),
            ("AWS_ACCESS_KEY_ID", "key-of-the-test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        assert!(rig.ask("PUT /lake", &[]).starts_with("HTTP/1.1 200"), "no bucket");
        Some(rig)
    }

    /// Google Cloud Storage, by a simulator of our own.
    pub(crate) fn gcs() -> Option<Self> {
        let mut rig = Self::start(Command::new("python3").arg(script("gcs.py")), "gs://lake");
        rig.environment = vec![
            ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{}", rig.port)),
            // A key that asks for no token, in place of a file with one.
            ("GOOGLE_SERVICE_ACCOUNT_KEY", NO_KEY.to_owned()),
        ];
        Some(rig)
    }

    /// A Databricks workspace, by a simulator of our own.
    pub(crate) fn databricks() -> Option<Self> {
        let python = installed("stores/bin/python3")?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut server = Command::new(python);
        server.args([script("databricks.py").as_os_str(), port.to_string().as_ref(), folder.path().as_os_str()]);
        let mut rig = Self::start_on(port, &mut server, "");
        rig._folder = Some(folder);
        rig.environment = vec![
            ("DATABRICKS_HOST", format!("http://127.0.0.1:{port}")),
            ("DATABRICKS_TOKEN", "dapi-of-the-test".to_owned()),
            ("DATABRICKS_WAREHOUSE_ID", "0123456789abcdef".to_owned()),
        ];
        Some(rig)
    }

    /// Where it listens, of a server that speaks HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The name of a schema that nobody has used yet.
    pub(crate) fn fresh_schema(&self) -> String {
        format!("tests_{}", self.lakes.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells a simulator what no real server would listen to.
    pub(crate) fn tell(&self, what: &str, json: &str) {
        let answer = self.say(&format!("POST /fake/{what}"), &[], json.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    /// Asks a simulator for what no real server would tell.
    pub(crate) fn told(&self, what: &str) -> Vec<u8> {
        let answer = self.say(&format!("GET /fake/{what}"), &[], b"");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        answer[body..].to_vec()
    }

    /// Azure's blobs, by Azurite.
    pub(crate) fn azure() -> Option<Self> {
        let azurite = installed("azurite/node_modules/azurite/dist/src/blob/main.js")?;
        let port = free_port();
        let arguments = ["--blobHost", "127.0.0.1", "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort"];
        let mut rig = Self::start_on(port, Command::new("node").arg(azurite).args(arguments).arg(port.to_string()), "az://lake");
        rig.environment = vec![
            ("AZURITE_BLOB_STORAGE_URL", format!("http://127.0.0.1:{port}")),
            ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
        ];
        let (date, version) = ("Mon, 23 Nov 2026 12:00:00 GMT", "2021-12-02");
        let signed = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/lake\nrestype:container"
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64_STANDARD.decode(AZURE_KEY).unwrap());
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        let headers = [
            format!("x-ms-date: {date}"),
            format!("x-ms-version: {version}"),
            format!("Authorization: SharedKey {AZURE_ACCOUNT}:{signature}"),
        ];
        let answer = rig.ask(&format!("PUT /{AZURE_ACCOUNT}/lake?restype=container"), &headers);
        assert!(answer.starts_with("HTTP/1.1 201"), "no container: {answer}");
        Some(rig)
    }

    /// HDFS: a name node and a data node, of the full tier.
    pub(crate) fn hdfs() -> Option<Self> {
        let jars = installed("hdfs/jars")?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // They serve pages from here.
        for pages in ["hdfs", "datanode", "static"] {
            std::fs::create_dir_all(path("webapps").join(pages)).unwrap();
        }
        let port = free_port();
        let settings = |settings: &[(&str, String)]| {
            let property = |(name, value): &(&str, String)| format!("<property><name>{name}</name><value>{value}</value></property>");
            format!("<configuration>{}</configuration>", settings.iter().map(property).collect::<String>())
        };
        let here = || "127.0.0.1:0".to_owned();
        std::fs::write(path("core-site.xml"), settings(&[("fs.defaultFS", format!("hdfs://127.0.0.1:{port}"))])).unwrap();
        let hdfs = [
            ("dfs.namenode.name.dir", path("names").display().to_string()),
            ("dfs.datanode.data.dir", path("data").display().to_string()),
            ("dfs.replication", "1".to_owned()),
            ("dfs.permissions.enabled", "false".to_owned()),
            ("dfs.namenode.safemode.extension", "0".to_owned()),
            // It wants classes that are not among the jars.
            ("dfs.webhdfs.enabled", "false".to_owned()),
            ("dfs.namenode.http-address", here()),
            ("dfs.datanode.address", here()),
            ("dfs.datanode.http.address", here()),
            ("dfs.datanode.ipc.address", here()),
        ];
        std::fs::write(path("hdfs-site.xml"), settings(&hdfs)).unwrap();
        let node = |class: &str| {
            let mut java = Command::new("java");
            for module in ["java.lang", "java.util", "java.io", "java.nio", "java.net", "sun.nio.ch"] {
                java.args(["--add-opens", &format!("java.base/{module}=ALL-UNNAMED")]);
            }
            java.args(["-Xmx256m", "-cp", &format!("{}:{}/*", folder.path().display(), jars.display())]);
            java.arg(format!("org.apache.hadoop.hdfs.server.{class}"));
            java.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            java
        };
        assert!(node("namenode.NameNode").args(["-format", "-force"]).status().unwrap().success(), "no name node");
        let names = node("namenode.NameNode").spawn().unwrap();
        let data = node("datanode.DataNode").spawn().unwrap();
        let bucket = format!("hdfs://127.0.0.1:{port}");
        let rig =
            Self { servers: vec![names, data], port, bucket, environment: Vec::new(), lakes: AtomicU32::new(0), _folder: Some(folder) };
        rig.wait_until_it_listens();
        Some(rig)
    }

    /// A bucket that the environment of this process says how to reach.
    pub(crate) fn of_environment(bucket: &'static str) -> Self {
        Self { servers: Vec::new(), _folder: None, port: 0, bucket: bucket.to_owned(), environment: Vec::new(), lakes: AtomicU32::new(0) }
    }

    /// The URL of a lake that nobody has used yet.
    pub(crate) fn fresh_lake(&self) -> String {
        format!("{}/tests/lake-{}", self.bucket, self.lakes.fetch_add(1, Ordering::Relaxed))
    }

    /// The storage options that say what the environment would.
    pub(crate) fn options(&self) -> Vec<(String, freshet_core::Secret)> {
        let option = |(name, value): &(&str, String)| (name.to_lowercase(), freshet_core::Secret::new(value.clone()));
        self.environment.iter().map(option).collect()
    }

    /// From now on every `nth` PUT is carried out and answered as if it had not been.
    pub(crate) fn lose_answers(&self, nth: u32) {
        assert!(self.ask(&format!("GET /_lose?{nth}"), &[]).starts_with("HTTP/1.1 200"));
    }

    fn start(command: &mut Command, bucket: &'static str) -> Self {
        let port = free_port();
        Self::start_on(port, command.arg(port.to_string()), bucket)
    }

    fn start_on(port: u16, command: &mut Command, bucket: &'static str) -> Self {
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let rig = Self {
            servers: vec![server],
            _folder: None,
            port,
            bucket: bucket.to_owned(),
            environment: Vec::new(),
            lakes: AtomicU32::new(0),
        };
        rig.wait_until_it_answers();
        rig
    }

    /// Somebody may take the first connection and drop it: to listen is not yet to serve.
    fn wait_until_it_answers(&self) {
        let begun = Instant::now();
        while !self.try_say("GET /", &[], b"").is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 ")) {
            assert!(begun.elapsed() < UP_WITHIN, "the server for {} does not answer", self.bucket);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < UP_WITHIN, "the server for {} does not listen", self.bucket);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, what: &str, headers: &[String]) -> String {
        String::from_utf8_lossy(&self.say(what, headers, b"")).into_owned()
    }

    fn say(&self, what: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
        self.try_say(what, headers, body).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    fn try_say(&self, what: &str, headers: &[String], body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let (host, length) = (self.port, body.len());
        write!(stream, "{what} HTTP/1.1\r\nHost: 127.0.0.1:{host}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// What `scripts/setup` installed at `path`.
fn installed(path: &str) -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/freshet"));
    let found =
        std::env::var_os("FRESHET_CACHE").map(PathBuf::from).or_else(home).map(|cache| cache.join(path)).filter(|file| file.exists());
    if found.is_none() {
        eprintln!("skipped: {path} is not in the cache folder; scripts/setup installs it");
    }
    found
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../destinations/tests/rigs").join(name)
}

/// A port below those that the system hands out: of those, one that nobody listens on yet may be given to some connection meanwhile, even to
/// that which looks whether the server is up, and then the server cannot have it. And each once, as servers take a while to listen.
fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(RandomState::new().build_hasher().finish() as u32 >> 1));
    loop {
        let port = 10_000 + u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 22_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
