//! Files of finished work: a file is written whole, reaches the disk, is read again, and only then gets its name.

use crate::failure::Reply;
use crate::view;
use extendr_api::prelude::*;
use fastlmm_core::runtime::error::{Access, Error};
use fastlmm_core::runtime::hash;
use fastlmm_core::runtime::memory::claim;
use fastlmm_core::runtime::seal::CHECKPOINT;
use std::fs::{File, OpenOptions};
use std::io::{Error as Fault, ErrorKind, Read, Result as Done, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hash of a raw vector or of numbers, as 32 hexadecimal digits.
/// @noRd
#[extendr]
fn ffi_hash(x: Robj) -> Reply<String> {
    let hash = match (x.as_raw_slice(), x.as_real_slice()) {
        (Some(x), _) => hash::bytes(x),
        (_, Some(x)) => hash::numbers(x),
        _ => {
            let why = "is neither raw nor of numbers".to_owned();
            return Err(Error::Argument { what: "x", why }.into());
        }
    };
    Ok(format!("{hash:032x}"))
}

/// What a file holds, as raw; NULL where there is none, or it is not what was written.
/// @noRd
#[extendr]
fn ffi_kept(path: &str) -> Reply<Nullable<Raw>> {
    let Some(bytes) = marked(Path::new(path))? else {
        return Ok(Nullable::Null);
    };
    Ok(CHECKPOINT
        .content(&bytes)
        .map_or(Nullable::Null, |content| Nullable::NotNull(Raw::from_bytes(content))))
}

/// All bytes of a file with the tag. A pipe or a device would be waited for, and a large file of something else is not read.
fn marked(path: &Path) -> Reply<Option<Vec<u8>>> {
    let Some(mut file) = path.is_file().then(|| File::open(path).ok()).flatten() else {
        return Ok(None);
    };
    let mut bytes = vec![0; CHECKPOINT.head_len()];
    if file.read_exact(&mut bytes).is_err() || !CHECKPOINT.marks(&bytes) {
        return Ok(None);
    }
    // here, and in R's hands
    claim(file.metadata().map_or(0.0, |about| about.len() as f64 / 4.0))?;
    Ok(file.read_to_end(&mut bytes).ok().map(|_| bytes))
}

/// Writes content to a file, sealed; `fresh`: only where there is none of this name, else FALSE.
/// @noRd
#[extendr]
fn ffi_keep(path: &str, content: Robj, fresh: bool) -> Reply<bool> {
    let content = content.as_raw_slice().ok_or(view::missing("content"))?;
    let part = part_of(path);
    let kept = write(&part, content).and_then(|()| name(&part, Path::new(path), fresh));
    if !matches!(kept, Ok(true)) {
        // it may never have been made
        let _ = std::fs::remove_file(&part);
    }
    let unwritable = |fault: Fault| Error::File {
        access: Access::Write,
        path: path.to_owned(),
        why: fault.to_string(),
    };
    Ok(kept.map_err(unwritable)?)
}

/// A name that no other process and no other call has.
fn part_of(path: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{path}.part-{}-{count}", std::process::id()).into()
}

fn write(part: &Path, content: &[u8]) -> Done<()> {
    let head = CHECKPOINT.head(content);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(part)?;
    file.write_all(head.as_bytes())?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    if std::fs::read(part)?.strip_prefix(head.as_bytes()) != Some(content) {
        return Err(Fault::new(
            ErrorKind::InvalidData,
            "what was read back is not what was written",
        ));
    }
    Ok(())
}

fn name(part: &Path, path: &Path, fresh: bool) -> Done<bool> {
    if fresh {
        // of two links of one name the second fails, whoever makes it
        match std::fs::hard_link(part, path) {
            Ok(()) => std::fs::remove_file(part)?,
            Err(_) if path.exists() => return Ok(false),
            // a file system without links: the name is taken first, by an empty file that counts as damaged until it is replaced
            Err(_) => match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(_) => std::fs::rename(part, path)?,
                Err(fault) if fault.kind() == ErrorKind::AlreadyExists => return Ok(false),
                Err(fault) => return Err(fault),
            },
        }
    } else {
        std::fs::rename(part, path)?;
    }
    sync_folder(path);
    Ok(true)
}

/// The new name, too, reaches the disk, where the system offers it.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

extendr_module! {
    mod keep;
    fn ffi_hash;
    fn ffi_kept;
    fn ffi_keep;
}
