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
    let (setup, watching) = (Setup::take(&mut merge), Watching::take(&mut merge));
    let settings = service(&mut merge);
    let state = merge.take("state", |s| Ok(PathBuf::from(s)));
    merge.finish()?;
    let has_key = settings.api_key.is_some();
    let server = Server::bind(settings)?;
    let address = server.local_addr()?;
    if !address.ip().is_loopback() && !has_key {
        writeln!(
            io::stderr(),
            "warning: {address} is for all who reach it and there is no key: they can post, read streams and feedback; set HIGHWATER_API_KEY"
        )?;
    }
    let load = move || -> Result<Loaded, String> {
        let told = |error: anyhow::Error| format!("{error:#}");
        let detector = join::detector(&setup).map_err(told)?;
        let flood = floods::for_service(&detector, &watching, state.as_deref()).map_err(told)?;
        let model = described(&detector);
        let ready = move || {
            // Nobody has to read these lines for the service to serve.
            let _ = tell_ready(address, &model, start.elapsed());
        };
        Ok(Loaded { detector, flood, ready: Box::new(ready) })
    };
    server.run(load, crate::service::signals)?;
    Ok(Outcome::Done)
}

/// The model and its calibration, for people.
fn described(detector: &Detector) -> String {
    let (model, calibration) = (detector.model(), &detector.calibration().name);
    let calibration = if calibration.is_empty() { "none" } else { calibration };
    format!("model {} on {} in {}, calibration {calibration}", model.name, model.device, model.precision)
}

/// The address is data (port 0 takes a free one), the rest is for people.
fn tell_ready(address: SocketAddr, model: &str, took: Duration) -> io::Result<()> {
    if chatty() {
        writeln!(io::stderr(), "{model}, ready in {:.2} s", took.as_secs_f64())?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}
