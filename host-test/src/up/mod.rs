//! `portcullis up`: the whole edge on this machine, in real Envoy, in front of a small backend. It
//! sends the requests of `edge.demo.yaml`, shows whether each promise is kept, and stays up to be tried.

mod row;
mod table;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    envoy::{
        Found, Options as EnvoyOptions, Process,
        demo::{Seen, demo_upstream},
        edge, find, versions,
    },
    scenario::Step,
};

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The binary of Envoy, or its version; where it is `None`, `find` looks for one.
    pub envoy: Option<PathBuf>,
    /// Ends after the requests, rather than staying up.
    pub once: bool,
    /// The bootstrap. Default: `envoy/edge.yaml` here or in a folder above.
    pub edge: Option<PathBuf>,
    /// Where Cargo builds. Default: `target` beside the bootstrap's folder.
    pub target: Option<PathBuf>,
}

/// Whether every promise was kept. Interrupted, it ends at once and answers true.
pub fn up(options: &Options) -> Result<bool> {
    let edge = match &options.edge {
        Some(edge) => edge.clone(),
        None => default_edge()?,
    };
    let found = find(options.envoy.as_deref(), None)?;
    println!("Envoy {} ({})", found.version, found.binary.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Whichever way this ends, the process and the backend are values in here, and end with it.
        tokio::select! {
            result = show(&found, &edge, options) => result,
            signal = interrupted() => signal.map(|()| true),
        }
    })
}

async fn interrupted() -> Result<()> {
    let (mut interrupt, mut terminate, mut hang_up) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

async fn show(envoy: &Found, edge: &Path, options: &Options) -> Result<bool> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let backend = listener.local_addr()?.port();
    let seen = Seen::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(demo_upstream(listener, seen.clone()));

    let mut bootstrap: Value = read(edge)?;
    let root = root_of(edge)?;
    let target = options.target.clone().unwrap_or_else(|| root.join("target"));
    edge::rewrite(&mut bootstrap, &root, &target, backend).with_context(|| edge.display().to_string())?;
    versions::suit(&mut bootstrap, &envoy.version);
    // Each access log line at once: a row shows what stands in it.
    let envoy_options = EnvoyOptions { arguments: versions::arguments(&envoy.version), ..EnvoyOptions::default() };
    let mut process = Process::start(&envoy.binary, &bootstrap, &envoy_options).await?;
    let listeners = process.admin().listeners().await?;
    let (_, port) = listeners.first_key_value().context("the edge has no listener on an IP address")?;

    let demo = edge.with_extension("demo.yaml");
    let rows: Vec<Step> = if demo.is_file() { read(&demo)? } else { Vec::new() };
    let mut played = Vec::new();
    for step in &rows {
        played.push(row::play(&process, *port, &seen, step).await?);
    }
    println!("{}", table::table(&played));
    let kept = played.iter().all(|row| row.wrong.is_empty());
    println!("edge     http://127.0.0.1:{port}/");
    println!("admin    http://127.0.0.1:{}/", process.admin().port);
    println!("backend  http://127.0.0.1:{backend}/");
    if options.once {
        return Ok(kept);
    }
    println!("Ctrl-C ends all of it.");
    loop {
        if let Some(status) = process.ended() {
            bail!("Envoy ended ({status}):\n{}", process.log());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

fn default_edge() -> Result<PathBuf> {
    let here = env::current_dir()?;
    let found = here.ancestors().map(|folder| folder.join("envoy/edge.yaml")).find(|file| file.is_file());
    found.context("there is no envoy/edge.yaml here or above; name one by `--edge FILE`")
}

/// The folder that relative paths in a bootstrap begin at: the workspace around it, or where
/// the caller stands.
fn root_of(edge: &Path) -> io::Result<PathBuf> {
    let edge = edge.canonicalize()?;
    let root = edge.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.map_or_else(env::current_dir, |root| Ok(root.to_path_buf()))
}
