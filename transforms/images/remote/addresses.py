"""Which addresses pictures may be fetched from: public ones, and those that were named.

address → why it is refused. Addresses that carry another one (IPv4 in IPv6, NAT64) are judged by
that.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Public by their number, and not what anybody keeps pictures on: metadata of Azure, relays.
_SPECIAL = tuple(
    ip_network(each)
    for each in ("168.63.129.16", "192.88.99.0/24", "192.0.0.0/24", "2001::/23", "2002::/16")
)
_ISATAP = (0x5EFE, 0x02005EFE)


def carried(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def why_forbidden(text: str, named: tuple[Network, ...] = ()) -> str:
    """Return why nothing is fetched from an address, empty for one that may be asked.

    text: as the operating system connects to it. named: networks that may be asked although they
    are not public.

    >>> why_forbidden("::ffff:127.0.0.1"), why_forbidden("93.184.215.14")
    ('is loopback', '')
    """
    try:
        address = carried(ip_address(text.partition("%")[0]))
    except ValueError:
        return "is no address"
    if "%" not in text and any(address in network for network in named):
        return ""
    for kind in ("loopback", "link_local", "multicast", "unspecified", "private", "reserved"):
        if getattr(address, f"is_{kind}"):
            return f"is {kind.replace('_', '-')}"
    if not address.is_global or any(address in network for network in _SPECIAL):
        return "is set aside for other uses than the public internet"
    if isinstance(address, IPv6Address):
        if address not in _GLOBAL_UNICAST:
            return "is not public"
        if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return why_forbidden(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return ""
