//! Who may come in: with a key whoever sends it, without one everybody but the pages of other sites.
//!
//! A browser calls this machine for any page that asks it to. No page can send the key, so with one nothing more is asked. Without one,
//! what browsers add to a request tells: where it comes from, and by which name we were called. Other programs need to add nothing.

use super::{error::ApiError, settings::ApiKey, state::Service};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Lets a request in, or says why not.
pub(super) async fn authorize(State(service): State<Arc<Service>>, request: Request, next: Next) -> Result<Response, ApiError> {
    match &service.settings.api_key {
        Some(key) => keyed(key, request.headers())?,
        None => keyless(&service.settings.listen, request.headers())?,
    }
    Ok(next.run(request).await)
}

fn keyed(key: &ApiKey, headers: &HeaderMap) -> Result<(), ApiError> {
    let header = headers.get(header::AUTHORIZATION).ok_or(ApiError::Unauthorized("this service asks for a key"))?;
    let given = header.to_str().ok().and_then(|h| h.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match given.is_some_and(|(_, token)| key.matches(token.trim())) {
        true => Ok(()),
        false => Err(ApiError::Unauthorized("this is not the service's key")),
    }
}

/// Refuses what another site's page has a browser send. `listen` is the address taken.
fn keyless(listen: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    // What is no text is nobody's name.
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text("host");
    let ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Older browsers, and every browser without TLS from another machine.
        (None, Some(origin)) => host.is_some_and(|host| same(origin, host)),
        (None, None) => true,
    };
    if !ours {
        return Err(ApiError::CrossOrigin);
    }
    // A page whose own name was pointed here after it was loaded is of the same origin as we are.
    match host {
        Some(host) if loopback(listen) && !names_this_machine(host) => Err(ApiError::UnknownHost(format!("{host:.80}"))),
        _ => Ok(()),
    }
}

/// Whether an origin has this `Host`. The usual port of its scheme may stand there or not.
fn same(origin: &str, host: &str) -> bool {
    let Some((scheme, place)) = origin.split_once("://") else { return false };
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let [theirs, ours] = [place, host].map(|name| name.strip_suffix(usual).unwrap_or(name).to_ascii_lowercase());
    theirs == ours
}

fn loopback(listen: &str) -> bool {
    listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// Whether nobody else can have this name lead here: it is a number, or one of the names that never leave the machine (RFC 6761).
fn names_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}
