//! Where the modules of a configuration lie, and whether Envoy would load them.

use std::path::{Path, PathBuf};

use super::{
    ask::{Asked, Silent, Why},
    burden::Burden,
    wasm::{Code, Kind, Wasm},
};
use crate::{
    bounded,
    build::{
        self,
        inspect::{self, Inspection},
    },
    vm,
};

pub struct Modules<'a> {
    /// Tried for a file that isn't where the configuration says, by its last name.
    pub folders: &'a [PathBuf],
    pub burden: Burden,
}

/// One that Envoy loads.
pub struct Module {
    pub bytes: Vec<u8>,
    pub inspection: Inspection,
    pub sha256: String,
}

/// Why this host refuses what Envoy takes.
const OURS: [&str; 5] = [
    "runs in Envoy, but not in this host",
    "this host compiles at most",
    "isn't compiled within",
    "this host plays HTTP only",
    "the compiler panicked on it",
];

impl Modules<'_> {
    /// Loads and configures the module of a filter.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub fn ask(&self, wasm: &Wasm<'_>, file: &Path) -> Result<Asked, Box<Silent>> {
        let silent = |why, inspection| Box::new(Silent { why, inspection });
        if wasm.native {
            return Err(silent(Why::Other, None));
        }
        let bytes = self.bytes(wasm, file).map_err(|why| silent(why, None))?;
        let inspection = inspect::inspect(&bytes).ok();
        if wasm.kind == Kind::Network {
            return Err(silent(Why::Other, inspection));
        }
        if let Err(reason) = vm::check(&bytes) {
            let is_ours = OURS.iter().any(|ours| reason.contains(ours));
            return Err(silent(if is_ours { Why::Untried(reason) } else { Why::Refused(reason) }, inspection));
        }
        let sha256 = build::sha256(&bytes);
        let kept = inspection.clone();
        let module = Module { bytes, inspection: inspection.unwrap_or_default(), sha256 };
        Asked::new(module, wasm, &self.burden).map_err(|why| silent(why, kept))
    }

    fn bytes(&self, wasm: &Wasm<'_>, file: &Path) -> Result<Vec<u8>, Why> {
        let read = |path: PathBuf| bounded::read(&path, vm::LARGEST as u64).ok();
        match &wasm.code {
            Code::Missing => Err(Why::Missing("no module is named".into())),
            Code::Inline(bytes, _) => Ok(bytes.clone()),
            Code::File(name, _) => self.find(name, file).and_then(read).ok_or_else(|| {
                Why::Missing(format!("{name} isn't there, nor beside this file, nor in a folder of --modules"))
            }),
            Code::Remote(address, sha256, _) => {
                let bytes = self.find(address.rsplit('/').next().unwrap_or_default(), file).and_then(read);
                let wanted = |bytes: &Vec<u8>| sha256.is_empty() || build::sha256(bytes).eq_ignore_ascii_case(sha256);
                bytes.filter(wanted).ok_or_else(|| Why::Unseen(address.clone()))
            }
        }
    }

    /// Where it is said to be: from here, beside the configuration, or by its last name in a folder.
    fn find(&self, name: &str, file: &Path) -> Option<PathBuf> {
        let last = Path::new(name).file_name()?;
        let beside = file.parent().map(|folder| folder.join(name));
        let elsewhere = self.folders.iter().map(|folder| folder.join(last));
        [PathBuf::from(name)].into_iter().chain(beside).chain(elsewhere).find(|path| path.is_file())
    }
}
