//! What the probes say of a service's endpoints.

use std::io::{self, Write};

use super::table::{or_dash, table};
use crate::views::EndpointHealth;

pub fn render_health(out: &mut dyn Write, endpoints: &[EndpointHealth]) -> io::Result<()> {
    let header = [
        "GROUP",
        "INSTANCE",
        "IP_ADDRESS",
        "PORT",
        "HEALTH",
        "WEIGHT",
        "DETAIL",
    ];
    let rows = endpoints.iter().map(|endpoint| {
        let weight = endpoint
            .weight
            .map(|w| w.to_string())
            .or_else(|| endpoint.weight_error.clone());
        vec![
            endpoint.group.name().to_owned(),
            or_dash(endpoint.instance.as_deref()),
            endpoint.ip_address.to_string(),
            or_dash(endpoint.port),
            if endpoint.healthy { "HEALTHY" } else { "UNHEALTHY" }.to_owned(),
            or_dash(weight),
            endpoint.detail.clone().unwrap_or_default(),
        ]
    });
    table(out, &header, rows)
}
