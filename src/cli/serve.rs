//! `highwater serve`: the settings of the service, its start, and the line that says it is ready.

use super::{
    Outcome,
    args::Common,
    chatty, floods, join,
    settings::{Setup, Watching, layers, service},
};
use crate::{
    detector::Detector,
    service::{Loaded, Server},
};
use clap::ArgMatches;
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

pub(super) fn run(common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let mut merge = layers(matches, common)?;
    let (setup, watching, settings) = (Setup::take(&mut merge), Watching::take(&mut merge), service(&mut merge));
    let state = merge.take("state", |s| Ok(PathBuf::from(s)));
    merge.finish()?;
    let server = Server::bind(settings)?;
    let address = server.local_addr()?;
    let load = move || -> Result<Loaded, String> {
        let told = |error: anyhow::Error| format!("{error:#}");
        let detector = join::detector(&setup).map_err(told)?;
        let flood = floods::for_service(&detector, &watching, state.as_deref()).map_err(told)?;
        // Nobody has to read these lines for the service to serve.
        let _ = tell_ready(address, &detector, start.elapsed());
        Ok(Loaded { detector, flood })
    };
    server.run(load, crate::service::signals())?;
    Ok(Outcome::Done)
}

/// The address is data (port 0 takes a free one), the rest is for people.
fn tell_ready(address: SocketAddr, detector: &Detector, took: Duration) -> io::Result<()> {
    if chatty() {
        let model = detector.model();
        let calibration = &detector.calibration().name;
        let calibration = if calibration.is_empty() { "none" } else { calibration };
        writeln!(
            io::stderr(),
            "model {} on {} in {}, calibration {calibration}, ready in {:.2} s",
            model.name,
            model.device,
            model.precision,
            took.as_secs_f64()
        )?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}
