//! How routes can refuse, as documentation: told by what a route takes, so that no route forgets it. What a route tells itself stands.

use utoipa::{
    Modify,
    openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder, path::Operation},
};

/// Adds the refusals that routes have in common.
pub(super) struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut OpenApi) {
        for (path, item) in &mut api.paths.paths {
            if !path.starts_with("/v1/") && path != "/metrics" {
                continue;
            }
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                for (status, says) in refusals(path, operation) {
                    let refusal = || {
                        let content = Content::new(Some(Ref::from_schema_name("ErrorAnswer")));
                        RefOr::T(ResponseBuilder::new().description(says).content("application/json", content).build())
                    };
                    operation.responses.responses.entry(status.to_owned()).or_insert_with(refusal);
                }
            }
        }
    }
}

/// Statuses and what they mean.
fn refusals(path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let body = operation.request_body.is_some();
    // A fault in the lines of a stream is a line of its answer.
    let whole = body && path != "/v1/stream";
    let parameters = operation.parameters.as_ref().is_some_and(|p| !p.is_empty());
    let all = [
        (whole, "400", "`malformed`: not JSON, sent compressed, or cut short"),
        (body && !whole, "400", "`malformed`: sent compressed"),
        (true, "401", "`unauthorized`: key missing or wrong"),
        (true, "403", "`cross_origin`, `unknown_host`: this service has no key, and a page of another site may have sent this"),
        (whole, "408", "`timeout`: the body did not arrive in time"),
        (whole, "413", "`too_large`: body or text too long"),
        (whole, "422", "`invalid`: JSON of another shape, or an unknown parameter"),
        (parameters, "422", "`invalid`: a parameter that is unknown or has a wrong value"),
        (true, "500", "`internal`: a fault of the service; its log says which"),
        (body, "503", "`not_ready`, `draining`, or `state_unavailable`: the state file cannot be written now"),
        (path != "/metrics", "503", "`not_ready` or `draining`"),
    ];
    // Of two for one status the first is kept.
    all.into_iter().filter(|(given, ..)| *given).map(|(_, status, says)| (status, says)).collect()
}
