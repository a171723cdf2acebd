//! The listeners of scenarios whose configuration changes on the way. Envoy reads them from a file, and again
//! whenever another takes its place.
//!
//! 1. Envoy changes the filters of a listener in place: its port stays, and connections stay with the filters
//!    that they met, until the time to drain is over.
//! 2. One listener that is refused leaves all as they are; Envoy's counters tell.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Host, versions, workers};
use crate::{
    envoy::{
        Admin,
        bootstrap::{Stage, listeners},
    },
    scenario::Update,
};

const TAKEN: &str = "listener_manager.lds.update_success";
const REFUSED: &str = "listener_manager.lds.update_rejected";
/// How long Envoy may take to read the file.
const WITHIN: Duration = Duration::from_secs(10);

pub struct Listeners {
    folder: TempDir,
    /// Those of each scenario, by its name.
    all: BTreeMap<String, Vec<Value>>,
    version: String,
    changes: u32,
}

impl Listeners {
    pub fn new(stages: &[Stage<'_>], logs: &Path, version: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcullis-listeners-").tempdir()?;
        let changing = stages.iter().filter(|stage| stage.scenario.updates());
        let all = changing.map(|stage| (stage.name.clone(), of(stage, logs))).collect();
        let mut own = Self { folder, all, version: version.to_owned(), changes: 0 };
        own.write()?;
        Ok(own)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("listeners.yaml")
    }

    /// Puts a whole file in the place of the one before.
    fn write(&mut self) -> Result<()> {
        self.changes += 1;
        let typed = |listener: &Value| {
            let mut listener = listener.clone();
            if let Some(members) = listener.as_object_mut() {
                members.insert("@type".into(), json!("type.googleapis.com/envoy.config.listener.v3.Listener"));
            }
            listener
        };
        let resources: Vec<Value> = self.all.values().flatten().map(typed).collect();
        let mut all = json!({ "version_info": self.changes.to_string(), "resources": resources });
        versions::suit(&mut all, &self.version);
        let next = self.folder.path().join("next");
        fs::write(&next, all.to_string())?;
        fs::rename(&next, self.file()).context("the listeners' file can't be replaced")
    }

    /// Where Envoy finds them; nothing where there are none.
    pub fn announce(&self, bootstrap: &mut Value) {
        if let (false, Some(bootstrap)) = (self.all.is_empty(), bootstrap.as_object_mut()) {
            let source = json!({ "path_config_source": { "path": self.file() } });
            bootstrap.insert("dynamic_resources".into(), json!({ "lds_config": source }));
            bootstrap.insert("node".into(), json!({ "id": "portcullis", "cluster": "portcullis" }));
        }
    }
}

/// The listeners of a scenario, whose workers can be told apart.
fn of(stage: &Stage<'_>, logs: &Path) -> Vec<Value> {
    let mut all = listeners(stage, logs);
    if stage.scenario.given.workers > 1 {
        all.iter_mut().for_each(workers::direct);
    }
    all
}

/// The scenario with a changed configuration of its filter under test.
fn changed<'a>(stage: &Stage<'a>, update: &Update) -> Stage<'a> {
    let mut stage = stage.clone();
    if let Some(actor) = stage.chain.get_mut(stage.scenario.place()) {
        let filter = &mut actor.filter;
        filter.configuration_as = update.configuration_as;
        filter.configuration = update.configuration.clone().unwrap_or(filter.configuration.take());
        filter.vm_configuration = update.vm_configuration.clone().unwrap_or(filter.vm_configuration.take());
    }
    stage
}

async fn answers(admin: Admin) -> Result<(u64, u64)> {
    let counted = admin.counters("^listener_manager\\.lds\\.update_").await?;
    let count = |name: &str| counted.get(name).copied().unwrap_or_default();
    Ok((count(TAKEN), count(REFUSED)))
}

impl Host {
    /// Whether Envoy takes a new configuration, and the stage with what is in force then.
    pub(super) async fn update<'a>(&self, stage: &Stage<'a>, update: &Update) -> Result<(bool, Stage<'a>)> {
        let next = changed(stage, update);
        let before = answers(self.process.admin()).await?;
        {
            let mut own = self.listeners.lock().await;
            own.all.insert(stage.name.clone(), of(&next, self.logs.path()));
            own.write()?;
        }
        let end = Instant::now() + WITHIN;
        loop {
            let now = answers(self.process.admin()).await?;
            match (now.0 > before.0, now.1 > before.1) {
                (true, _) => return Ok((true, next)),
                (_, true) => break,
                _ if Instant::now() > end => bail!("Envoy didn't read its listeners within {} s", WITHIN.as_secs()),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        // What Envoy refused must not come again with the next change.
        self.listeners.lock().await.all.insert(stage.name.clone(), of(stage, self.logs.path()));
        Ok((false, stage.clone()))
    }
}
