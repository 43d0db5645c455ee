// The import rules of the house: imports point one way (docs/architecture.md).
const io = '^src/(actors|api|cli|http|local|push|schedule|store|telegram|system\\.ts|main\\.ts|config\\.ts)';
const core =
  '^(node:)?(fs|net|http|https|child_process|worker_threads|dgram|tls|timers|timers/promises|perf_hooks|os)$';
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, dependencyTypesNot: ['type-only'] } },
    {
      name: 'pure-cores-do-no-io',
      severity: 'error',
      from: { path: '^src/(delivery|ingress)/|^src/features/[^/]+/rules' },
      to: { path: io },
    },
    {
      name: 'pure-cores-use-no-io-module',
      severity: 'error',
      from: { path: '^src/(delivery|ingress)/|^src/features/[^/]+/rules' },
      to: { dependencyTypes: ['core'], path: core },
    },
    {
      name: 'pure-cores-need-no-package',
      severity: 'error',
      from: { path: '^src/(delivery|ingress)/|^src/features/[^/]+/rules' },
      to: { dependencyTypes: ['npm'] },
    },
    {
      name: 'actors-and-http-know-no-feature',
      severity: 'error',
      from: { path: '^src/(actors|http)/' },
      to: { path: '^src/features(/|\\.ts)' },
    },
    {
      name: 'a-feature-imports-no-other',
      severity: 'error',
      from: { path: '^src/features/([^/]+)/' },
      to: { path: '^src/features/', pathNot: '^src/features/$1/' },
    },
    {
      name: 'only-the-runtime-imports-nact',
      severity: 'error',
      from: { pathNot: '^src/actors/runtime\\.ts$' },
      to: { path: '(^|/)node_modules/nact' },
    },
    {
      name: 'local-stand-ins-stand-alone',
      severity: 'error',
      from: { path: '^src/local/(mongo|telegram)/' },
      to: { path: '^src/', pathNot: '^src/local/' },
    },
    {
      name: 'only-the-composition-and-commands-know-the-embedded-store',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(local/mongo/|local/stand-ins\\.ts$|cli/)' },
      to: { path: '^src/local/mongo/' },
    },
    { name: 'nothing-imports-main', severity: 'error', from: {}, to: { path: '^src/main\\.ts$' } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, pathNot: '^src/main\\.ts$' }, to: {} },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
