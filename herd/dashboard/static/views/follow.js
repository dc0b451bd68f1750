// What runs for a while (a pull, a benchmark) is asked for once a second until it has ended.

const LOST_MS = 5_000; // without an answer: herd was away, and it may be followed again

// Once for each view, whoever begins; `take` gets each answer, `runs` says whether it goes on.
export function follow(ctx, state, path, take, runs) {
  if (performance.now() - (state.followed ?? -Infinity) < LOST_MS) return;
  state.followed = performance.now();
  ctx.poll(
    path,
    (found) => {
      take(found);
      state.followed = runs(found) ? performance.now() : -Infinity;
      if (!runs(found)) ctx.reload();
    },
    runs,
  );
}
