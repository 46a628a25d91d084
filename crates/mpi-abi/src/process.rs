//! What this process and its ancestors are: loaded objects, parents. Linux has `/proc`; elsewhere nothing is found.

use std::fs;
use std::path::{Path, PathBuf};

/// Opens a shared object: the one that is loaded already under this name, else from the file system.
///
/// Symbols stay local to the handle, so two MPI libraries in one process do not see each other's.
pub(crate) fn open_object(path: &Path) -> Result<libloading::Library, libloading::Error> {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        /// Of glibc and musl: do not load, only find.
        #[cfg(target_os = "linux")]
        const RTLD_NOLOAD: std::ffi::c_int = 4;
        // SAFETY: opening runs the initialisers of the library that the user named or has installed as MPI; with
        // RTLD_NOLOAD it runs nothing.
        unsafe {
            #[cfg(target_os = "linux")]
            if let Ok(loaded) = Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) {
                return Ok(loaded.into());
            }
            Library::open(Some(path), RTLD_NOW | RTLD_LOCAL).map(Into::into)
        }
    }
    #[cfg(not(unix))]
    {
        // SAFETY: opening runs the initialisers of the library that the user named or has installed as MPI.
        unsafe { libloading::Library::new(path) }
    }
}

/// The file that is mapped at `address`.
pub(crate) fn path_of_address(address: usize) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, file) = map_entry(line)?;
        range.contains(&address).then_some(file)
    })
}

/// The files mapped into this process, each once, in the order of their addresses.
pub(crate) fn mapped_files() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<PathBuf> = Vec::new();
    for (_, file) in maps.lines().filter_map(map_entry) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// One line of `/proc/PID/maps`: `from-to perms offset device inode  path`. The path may contain spaces.
fn map_entry(line: &str) -> Option<(std::ops::Range<usize>, PathBuf)> {
    let (from, to) = line.split_once(' ')?.0.split_once('-')?;
    let path = &line[line.find('/')?..];
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(from)?..number(to)?, PathBuf::from(path)))
}

/// The executables of this process's ancestors, the parent first. Those that may not be looked at are left out.
pub(crate) fn ancestors() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut process = "self".to_owned();
    // Nobody nests deeper; a bound because the table changes while it is read.
    for _ in 0..64 {
        let Some(parent) = parent_of(&process) else {
            break;
        };
        if parent == "0" {
            break;
        }
        if let Ok(executable) = fs::read_link(format!("/proc/{parent}/exe")) {
            found.push(executable);
        }
        process = parent;
    }
    found
}

fn parent_of(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may itself contain parentheses and spaces.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_map_line_gives_its_range_and_its_path_with_spaces() {
        let line = "7f00-7fff r-xp 00000000 fe:01 1234   /opt/my mpi/libmpi.so.12";
        assert_eq!(map_entry(line), Some((0x7f00..0x7fff, PathBuf::from("/opt/my mpi/libmpi.so.12"))));
        assert_eq!(map_entry("7f00-7fff rw-p 00000000 00:00 0 "), None);
        assert_eq!(map_entry("7f00-7fff rw-p 00000000 00:00 0 [heap]"), None);
    }

    #[test]
    fn this_program_is_mapped_and_has_a_parent() {
        let me = std::env::current_exe().expect("a test has an executable");
        assert!(mapped_files().contains(&me));
        let here = ancestors as fn() -> Vec<PathBuf> as usize;
        assert_eq!(path_of_address(here), Some(me));
        assert!(!ancestors().is_empty());
    }
}
