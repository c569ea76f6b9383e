/**
 * Where a followed channel stands. It serves the followers.
 * Invariant: there is one state per channel, and `nextFollow` is the only way from one to another.
 */

export type FollowState =
  /** Where it begins is still being looked up. */
  | { kind: 'opening' }
  /** To be asked for when there is a connection. */
  | { kind: 'wanted' }
  /** Asked for under this id; what arrives before the answer belongs to an earlier subscription. */
  | { kind: 'asked'; id: number }
  | { kind: 'following' }
  /** A reader is full: nothing is asked for until it has read. */
  | { kind: 'paused' }
  | { kind: 'ended' };

export type FollowHappening =
  | { type: 'opened' }
  | { type: 'asked'; id: number }
  | { type: 'answered'; id: number }
  /** The connection is gone, or the answer was that it should be asked for again. */
  | { type: 'lost' }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'end' };

export function nextFollow(state: FollowState, happening: FollowHappening): FollowState {
  if (state.kind === 'ended') return state;
  switch (happening.type) {
    case 'end':
      return { kind: 'ended' };
    case 'asked':
      return state.kind === 'wanted' ? { kind: 'asked', id: happening.id } : state;
    case 'answered':
      return state.kind === 'asked' && state.id === happening.id ? { kind: 'following' } : state;
    case 'opened':
      return state.kind === 'opening' ? { kind: 'wanted' } : state;
    case 'lost':
      return state.kind === 'paused' || state.kind === 'opening' ? state : { kind: 'wanted' };
    case 'pause':
      return state.kind === 'following' ? { kind: 'paused' } : state;
    case 'resume':
      return state.kind === 'paused' ? { kind: 'wanted' } : state;
  }
}
