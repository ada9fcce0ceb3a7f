//! Decides which hosts requests may go to. Whoever may write an endpoint chooses a URL, and must not reach through the
//! worker what only the worker's machine and network can reach: local services, cloud metadata, internal hosts.

use crate::Error;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// A host that requests may go to whatever its address is: a name or an address, with or without a port.
#[derive(Clone)]
pub struct AllowedHost {
    /// As URLs spell it: in lower case, IPv6 in brackets.
    host: String,
    port: Option<u16>,
}

impl FromStr for AllowedHost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<AllowedHost, Self::Err> {
        let (host, port) = match text.rsplit_once(':') {
            _ if text.parse::<Ipv6Addr>().is_ok() => (format!("[{text}]"), None),
            Some((host, port)) if !text.ends_with(']') => {
                let port = port.parse().map_err(|_| "the port is not a number")?;
                (host.to_owned(), Some(port))
            }
            _ => (text.to_owned(), None),
        };
        let url = Url::parse(&format!("http://{host}"))
            .ok()
            .filter(|url| url.port().is_none() && url.path() == "/" && !has_credentials(url));
        let url = url.ok_or("not a host name or address")?;
        let host = url.host_str().ok_or("not a host name or address")?;
        Ok(AllowedHost {
            host: host.to_owned(),
            port,
        })
    }
}

impl AllowedHost {
    fn includes(&self, url: &Url) -> bool {
        url.host_str() == Some(&self.host)
            && self
                .port
                .is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

pub fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The HTTP clients of a worker. They follow no redirects, which may turn a POST into a GET, and use no proxies of the
/// environment: both would lead to addresses that were not checked.
pub struct Clients {
    allowed_hosts: Vec<AllowedHost>,
    /// For hosts of `allowed_hosts`.
    any_address: Client,
    /// For all others. It connects to public addresses only.
    public_only: Client,
}

impl Clients {
    pub fn new(allowed_hosts: Vec<AllowedHost>) -> Result<Clients, Error> {
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .connect_timeout(Duration::from_secs(10))
        };
        Ok(Clients {
            allowed_hosts,
            any_address: builder().build()?,
            public_only: builder().dns_resolver(PublicAddresses.into()).build()?,
        })
    }

    /// Returns the client for a URL. Fails if its host is an address that is not public.
    pub fn client_for(&self, url: &Url) -> Result<&Client, Refused> {
        if self.allowed_hosts.iter().any(|host| host.includes(url)) {
            return Ok(&self.any_address);
        }
        // reqwest resolves names only. Url has converted every spelling of an address, such as 0x7f.1, to the usual one.
        let host = url.host_str().unwrap_or_default();
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !is_public(address) => Err(Refused),
            _ => Ok(&self.public_only),
        }
    }
}

/// The host of a URL has no public address.
#[derive(Debug)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has no public address, and --allow-host does not name it")
    }
}

impl std::error::Error for Refused {}

/// Resolves names to their public addresses. reqwest connects to the addresses that this returns, and does not resolve
/// the name again: a second answer of the name server could be another one.
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| is_public(address.ip()))
                .collect();
            match addresses.is_empty() {
                true => Err(Refused.into()),
                false => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the internet's.
fn is_public(address: IpAddr) -> bool {
    let is_in = |address: u128, network: u128, bits: u32| (address ^ network) >> bits == 0;
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|&(network, prefix)| {
            is_in(
                u32::from(address).into(),
                u32::from(network).into(),
                32 - prefix,
            )
        }),
        // All addresses outside this network are special: loopback, link-local, unique-local, multicast, and those that
        // contain an IPv4 address.
        IpAddr::V6(address) => {
            is_in(address.into(), PUBLIC_V6.0.into(), 128 - PUBLIC_V6.1)
                && !NOT_PUBLIC_V6
                    .iter()
                    .any(|&(network, prefix)| is_in(address.into(), network.into(), 128 - prefix))
        }
    }
}

const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this machine
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // between a provider and its customers (CGNAT)
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, cloud metadata among them
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),     // multicast, reserved, broadcast
];
const PUBLIC_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: contains an IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];
