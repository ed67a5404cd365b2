//! A volume that hangs, as one on a network does whose server is away: calls on it do not return until it is back.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use devstack::PrivateFolder;

/// What hangs: the C library's calls, in processes that are started with [`Volume::settings`].
const SOURCE: &str = include_str!("hang.c");

/// A folder `uploads` on such a volume.
pub struct Volume {
    folder: PrivateFolder,
}

impl Volume {
    /// One that works.
    ///
    /// # Panics
    /// Without a C compiler, which dlib needs as well.
    pub fn prepare() -> Self {
        let folder = PrivateFolder::new().unwrap();
        fs::create_dir(folder.path().join("uploads")).unwrap();
        fs::write(folder.path().join("hang.c"), SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        compiler.current_dir(folder.path()).args(["-shared", "-fPIC", "-o", "hang.so", "hang.c", "-ldl"]);
        assert!(compiler.status().unwrap().success());
        Self { folder }
    }

    /// What a service has to be started with.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        let path = |name| self.folder.path().join(name).to_str().unwrap().to_owned();
        [("UPLOADS", path("uploads")), ("LD_PRELOAD", path("hang.so")), ("HANG_WHILE", path("hangs"))]
    }

    /// From now on it hangs.
    pub fn hang(&self) {
        File::create(self.flag()).unwrap();
    }

    /// It goes on where it was.
    pub fn go_on(&self) {
        fs::remove_file(self.flag()).unwrap();
    }

    fn flag(&self) -> PathBuf {
        self.folder.path().join("hangs")
    }
}
