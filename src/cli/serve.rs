//! `highwater serve`: the settings of the service, its start, and the line that says it is ready.

use super::{
    Outcome,
    args::Common,
    chatty, join,
    settings::{Setup, layers, service},
};
use crate::{detector::Detector, service::Server};
use clap::ArgMatches;
use std::{
    io::{self, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

pub(super) fn run(common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let mut merge = layers(matches, common)?;
    let (setup, settings) = (Setup::take(&mut merge), service(&mut merge));
    merge.finish()?;
    let server = Server::bind(settings)?;
    let address = server.local_addr()?;
    let load = move || -> Result<Detector, String> {
        let detector = join::detector(&setup).map_err(|error| format!("{error:#}"))?;
        // Nobody has to read these lines for the service to serve.
        let _ = tell_ready(address, &detector, start.elapsed());
        Ok(detector)
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
