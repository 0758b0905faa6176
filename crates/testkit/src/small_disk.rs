//! A real file system of a few megabytes that a test can fill: a tmpfs in a mount namespace of its own, so that it needs no root
//! and nobody else sees it. Linux. Its test is at its foot.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What makes the kernel let a test mount a disk, as far as a test can tell.
const MEND: &str = "tests of a full disk mount a small one in a namespace of their own, and this kernel refuses that; \
    `sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000` \
    allows it (leave out what your kernel does not know); a container needs `--security-opt seccomp=unconfined --cap-add SYS_ADMIN`";

/// A small disk, for as long as this lives or a program runs on it.
#[derive(Debug)]
pub struct SmallDisk {
    keeper: Child,
    /// Where programs of [`SmallDisk::program`] see it.
    at: PathBuf,
    has_own_users: bool,
}

impl SmallDisk {
    /// Mounts an empty one over this folder, which is made. Panics with the command that mends it where the kernel refuses.
    pub fn mount(at: &Path, megabytes: u32) -> Self {
        std::fs::create_dir_all(at).expect("the folder can be made");
        // Who is root may have the right to mount, and no right to users of their own.
        let refused = match Self::try_mount(at, megabytes, true) {
            Ok(disk) => return disk,
            Err(refused) => refused,
        };
        Self::try_mount(at, megabytes, false).unwrap_or_else(|also| panic!("{MEND} ({refused}; {also})"))
    }

    fn try_mount(at: &Path, megabytes: u32, has_own_users: bool) -> Result<Self, String> {
        let users: &[&str] = if has_own_users { &["--user", "--map-root-user"] } else { &[] };
        let script = r#"mount -t tmpfs -o "size=$1m,mode=0777" tmpfs "$0" && echo mounted && read -r _"#;
        let mut command = Command::new("unshare");
        command.args(users).args(["--mount", "--", "sh", "-c", script]).arg(at).arg(megabytes.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().map_err(|error| format!("`unshare` of util-linux does not start: {error}"))?;
        let mut said = String::new();
        let out = keeper.stdout.take().expect("it was asked for");
        BufReader::new(out).read_line(&mut said).expect("it can be read");
        if said.trim() == "mounted" {
            return Ok(Self { keeper, at: at.to_path_buf(), has_own_users });
        }
        let output = keeper.wait_with_output().expect("it ends");
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// A script beside the disk that runs this program where it sees the disk. Relative paths mean nothing to it.
    pub fn program(&self, program: &Path) -> PathBuf {
        let script = self.at.with_extension("sh");
        let users = if self.has_own_users { "--user --preserve-credentials" } else { "" };
        let text = format!(
            "#!/bin/sh\nexec nsenter --target {} {users} --mount -- '{}' \"$@\"\n",
            self.keeper.id(),
            program.display()
        );
        std::fs::write(&script, text).expect("the script can be written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("it can be made to run");
        script
    }

    /// A file of the disk, as this process sees it.
    pub fn file(&self, name: &str) -> PathBuf {
        let inside = self.at.strip_prefix("/").expect("the folder's path is absolute");
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(inside).join(name)
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let mut options = OpenOptions::new();
        let mut ballast = options.create(true).append(true).open(self.ballast()).expect("a file more has a place");
        let mut most = 1 << 16;
        while most > 0 {
            match ballast.write(&vec![1; most]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => most /= 2,
                Err(error) => panic!("the disk is not full but ill: {error}"),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn make_room(&self) {
        // Emptied, not removed: the room comes back though somebody still looks at it.
        File::create(self.ballast()).expect("it is there");
    }

    fn ballast(&self) -> PathBuf {
        self.file("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It waits for the end of its input.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_there_is_room_and_programs_see_it() {
        let at = std::env::temp_dir().join(format!("waypost-small-disk-{}", std::process::id()));
        let disk = SmallDisk::mount(&at, 1);
        let script = disk.program(Path::new("/bin/sh"));
        let write = || {
            let to = at.join("file");
            let write = format!("head -c 100000 /dev/zero > '{}'", to.display());
            Command::new(&script).args(["-c", &write]).stderr(Stdio::null()).status().expect("it runs").success()
        };
        assert!(write());
        assert_eq!(std::fs::metadata(disk.file("file")).expect("it is there").len(), 100_000);
        std::fs::remove_file(disk.file("file")).expect("it can be removed");
        disk.fill();
        assert!(!write(), "there is no room");
        disk.make_room();
        assert!(write());
        assert!(!at.join("file").exists(), "nobody else sees it");
        drop(disk);
        std::fs::remove_dir_all(&at).expect("nothing is mounted here");
        std::fs::remove_file(script).expect("the script is beside it");
    }
}
