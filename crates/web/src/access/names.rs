//! Names under which a browser on this machine may come where nobody needs a token.
//!
//! The owner of a name can lead it to 127.0.0.1 after their page was loaded (DNS rebinding): for the browser that page and
//! ours are one site then, and only `Host` tells. A browser that comes over the network is none of this: the name under
//! which an Ingress or a Service is reached may be any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{
    HeaderMap,
    header::{ACCEPT_LANGUAGE, HOST},
};

/// Nobody can register a name below these. Below `local` anybody in the same network can: they need only answer (mDNS).
const NOBODYS: [&str; 4] = ["localhost", "internal", "test", "svc"];

/// Whether a browser on this machine, or at the end of a port that is forwarded here, asks under a name that somebody
/// else may own. Programs call us as they like: only browsers say which languages they speak, and no page can keep them
/// from it.
pub fn is_rebound(peer: IpAddr, headers: &HeaderMap) -> bool {
    let peer = peer.to_canonical();
    let is_here = peer == Ipv4Addr::LOCALHOST || peer == Ipv6Addr::LOCALHOST;
    is_here
        && headers.contains_key(ACCEPT_LANGUAGE)
        && headers.get(HOST).is_some_and(|host| !is_ours(host.to_str().unwrap_or("?.?")))
}

fn is_ours(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').unwrap_or((rest, "?"));
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'));
    }
    let name = host.split_once(':').map_or(host, |(name, _port)| name).trim_end_matches('.');
    let is_address = name.parse::<Ipv4Addr>().is_ok();
    let last = name.rsplit_once('.').map(|(_, last)| last);
    is_address || last.is_none_or(|last| NOBODYS.iter().any(|nobodys| last.eq_ignore_ascii_case(nobodys)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_that_nobody_can_register_are_ours() {
        for host in [
            "127.0.0.1:8081",
            "10.1.2.3",
            "[::1]:8081",
            "localhost:8081",
            "LOCALHOST",
            "localhost.",
            "faces.localhost",
            "frontend",
            "frontend.default.svc",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "evil.example.com:8081",
            "127.0.0.1.example.com",
            "localhost.example.com.",
            "a.b",
            "?.?",
            // Anybody in the same network may answer for these.
            "printer.local",
            "frontend.default.svc.cluster.local:80",
            "[evil.example.com]:8081",
            "[::1].example.com",
            "[::1]8081",
            "[",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }

    #[test]
    fn only_a_browser_on_this_machine_is_asked_for_its_name() {
        let headers = |language: Option<&str>| {
            let mut headers = HeaderMap::from_iter([(HOST, "evil.example.com".parse().unwrap())]);
            headers.extend(language.map(|language| (ACCEPT_LANGUAGE, language.parse().unwrap())));
            headers
        };
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_rebound(here.parse().unwrap(), &headers(Some(""))), "{here}");
            assert!(!is_rebound(here.parse().unwrap(), &headers(None)), "{here}");
            assert!(!is_rebound(here.parse().unwrap(), &HeaderMap::new()), "{here}");
        }
        // The last is where a mesh's proxy beside us comes from.
        for elsewhere in ["10.0.0.1", "2001:db8::1", "127.0.0.6"] {
            assert!(!is_rebound(elsewhere.parse().unwrap(), &headers(Some("en"))), "{elsewhere}");
        }
    }
}
