// What cannot pass across eras, each with its reason from the specification.
//
// revision   the suite's revision
// upstream   what the upstream speaks: 'legacy', 'modern'
// scenario   the scenario that cannot pass
// because    why, and where the specification says so
//
// A run fails as well when one of these passes: then it has to go.

const exceptions = [];

/** The reason why a scenario cannot pass, if it is known not to. */
export function exception(revision, upstream, scenario) {
  return exceptions.find((one) => one.revision === revision && one.upstream === upstream && one.scenario === scenario)?.because;
}
