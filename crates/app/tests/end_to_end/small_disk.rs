//! A folder on a disk of its own that can be filled up or made read-only, where the system allows it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk; unmounted when dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size` (as `mount` reads it, `2m`). Nothing where that is not permitted, and a printed notice.
    pub(crate) fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        if mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], at) {
            return Some(Self { at: at.to_owned() });
        }
        eprintln!("skipped: this user may not mount a small disk");
        None
    }

    /// Makes it larger or smaller, in place.
    pub(crate) fn resize(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.at));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

/// A lake that can be made to refuse all writes: root needs a read-only disk for that, others only lose their permission.
pub(crate) struct BreakableLake {
    at: PathBuf,
    disk: Option<SmallDisk>,
}

impl BreakableLake {
    /// A lake at `at`. Nothing where this user can be stopped in neither way, and a printed notice.
    pub(crate) fn new(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        allow_writes(at, false);
        let probe = std::fs::write(at.join("probe"), "");
        allow_writes(at, true);
        if probe.is_err() {
            return Some(Self { at: at.to_owned(), disk: None });
        }
        std::fs::remove_file(at.join("probe")).unwrap();
        SmallDisk::mount(at, "200m").map(|disk| Self { at: at.to_owned(), disk: Some(disk) })
    }

    /// From now on nothing can be written.
    pub(crate) fn break_down(&self) {
        self.set_writable(false);
    }

    /// All is well again.
    pub(crate) fn repair(&self) {
        self.set_writable(true);
    }

    fn set_writable(&self, writable: bool) {
        if self.disk.is_none() {
            return allow_writes(&self.at, writable);
        }
        let option = if writable { "remount,rw" } else { "remount,ro" };
        // A file that is being written keeps the disk from becoming read-only, for a moment.
        let done = (0..500).any(|_| {
            let done = mount(&["-o", option], &self.at);
            if !done {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            done
        });
        assert!(done, "{option} of {} failed", self.at.display());
    }
}

impl Drop for BreakableLake {
    fn drop(&mut self) {
        // Or the folder could not be removed.
        self.repair();
    }
}

/// Gives or takes the right to write to every folder below `at`.
fn allow_writes(at: &Path, allowed: bool) {
    let mode = if allowed { 0o755 } else { 0o555 };
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(mode)).unwrap();
    for entry in std::fs::read_dir(at).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            allow_writes(&entry.path(), allowed);
        }
    }
}
