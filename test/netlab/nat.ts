/**
 * How a router lets the hosts behind it reach the internet (RFC 4787's terms):
 * - `full-cone`: endpoint-independent mapping and filtering: a port that a host has sent from is its own, for all.
 * - `port-restricted`: endpoint-independent mapping, address and port-dependent filtering: what most homes have.
 * - `symmetric`: address and port-dependent mapping, each at a random port, and the same filtering.
 * - `proxy`: nothing is forwarded; a proxy on the router takes CONNECT to port 443 of any host.
 */
export type RouterKind = 'full-cone' | 'port-restricted' | 'symmetric' | 'proxy';

/** What nftables does in such a router, whose outer device is `eth0`. */
export function natRules(kind: RouterKind): string {
  if (kind === 'proxy') {
    return `table ip filter {
      chain forward { type filter hook forward priority filter; policy drop; }
    }`;
  }
  const isFullCone = kind === 'full-cone';
  return `
    table ip nat {
      map owners { type inet_service : ipv4_addr; size 65535; flags dynamic,timeout; timeout 10m; }
      chain prerouting {
        type nat hook prerouting priority dstnat;
        ${isFullCone ? 'iifname "eth0" meta l4proto udp dnat to udp dport map @owners' : ''}
      }
      chain postrouting {
        type nat hook postrouting priority srcnat;
        ${isFullCone ? 'oifname "eth0" meta l4proto udp update @owners { udp sport : ip saddr }' : ''}
        oifname "eth0" masquerade ${kind === 'symmetric' ? 'fully-random' : ''}
      }
    }
    table ip filter {
      chain input {
        type filter hook input priority filter;
        iifname "eth0" ct state { established, related } accept
        iifname "eth0" drop
      }
      chain forward {
        type filter hook forward priority filter;
        iifname "eth0" ct state { established, related } accept
        iifname "eth0" ct status dnat accept
        iifname "eth0" drop
      }
    }`;
}
