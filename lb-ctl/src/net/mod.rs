//! The host's network: routes, neighbours, links, and answering for addresses. The only user of netlink.
