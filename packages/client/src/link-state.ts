/**
 * How one peer is connected. It serves the link, which acts on it, and the panel that shows it.
 * Invariant: there is one state per peer, and `nextLink` is the only way from one to another.
 */

/** `direct`: from browser to browser. `relayed`: through a TURN server. `unknown`: the browser does not say yet. */
export type Route = 'direct' | 'relayed' | 'unknown';

export type LinkState =
  | { kind: 'connecting' }
  | { kind: 'connected'; route: Route }
  | { kind: 'reconnecting' }
  | { kind: 'closed' };

export type LinkHappening =
  | { type: 'open' }
  | { type: 'route'; route: Route }
  | { type: 'interrupted' }
  | { type: 'closed' };

export function nextLink(state: LinkState, happening: LinkHappening): LinkState {
  if (state.kind === 'closed') return state;
  switch (happening.type) {
    case 'closed':
      return { kind: 'closed' };
    case 'open':
      return state.kind === 'connected' ? state : { kind: 'connected', route: 'unknown' };
    case 'route':
      if (state.kind !== 'connected' || state.route === happening.route) return state;
      return { kind: 'connected', route: happening.route };
    case 'interrupted':
      return state.kind === 'connected' ? { kind: 'reconnecting' } : state;
  }
}

/** Reads the route out of `RTCPeerConnection.getStats()`. */
export function routeOf(report: Iterable<[string, unknown]>): Route {
  const stats = new Map<string, Record<string, unknown>>();
  for (const [id, stat] of report) stats.set(id, stat as Record<string, unknown>);
  const pair = selectedPair(stats);
  if (!pair) return 'unknown';
  const types = [pair.localCandidateId, pair.remoteCandidateId].map(
    (id) => stats.get(String(id))?.candidateType,
  );
  if (types.includes('relay')) return 'relayed';
  return types.some((type) => typeof type === 'string') ? 'direct' : 'unknown';
}

function selectedPair(stats: Map<string, Record<string, unknown>>): Record<string, unknown> | undefined {
  const all = [...stats.values()];
  const transport = all.find((stat) => stat.type === 'transport' && stat.selectedCandidatePairId);
  if (transport) return stats.get(String(transport.selectedCandidatePairId));
  // Firefox names no pair in the transport and marks the pair itself.
  return all.find(
    (stat) => stat.type === 'candidate-pair' && (stat.selected === true || stat.nominated === true),
  );
}
