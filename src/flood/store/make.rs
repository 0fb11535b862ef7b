//! A new state file: whole, or not there. Whoever is killed while making one leaves no file that the next start refuses.

use super::{Store, StoreError};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

impl Store {
    /// Makes the file where there is none: under a name of this process's own first, which becomes the file's once the database in it is whole.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        if fs::symlink_metadata(&self.path).is_ok() {
            return Ok(());
        }
        let mut name = self.path.file_name().ok_or_else(|| self.failed("it has no name; name a file"))?.to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = self.path.with_file_name(name);
        open_private(&path, true).and_then(|file| file.set_len(0)).map_err(|e| self.failed(e))?;
        let mut new = Self { path: path.clone(), label: self.label.clone(), database: None, known: false };
        let made = new.reopen().and_then(|()| new.make_tables());
        drop(new);
        let placed = made.and_then(|()| place(&path, &self.path).map_err(|e| self.failed(e)));
        // Under its own name it is of no more use, whatever became of it.
        let _gone = fs::remove_file(&path);
        placed
    }
}

/// Gives a file its name, unless another process was faster.
pub(super) fn place(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // a file system without links
        Err(_) => fs::rename(new, path),
        Ok(()) => Ok(()),
    }?;
    // what was made before a power cut should be there after it; not every file system lets a folder be synced
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).or(Ok(()))
}

/// Opens a file that only its owner may read, or makes it.
pub(super) fn open_private(path: &Path, make: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(make).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
