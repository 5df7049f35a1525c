// What the servers work on: a folder, a memory, a repository. Every run has its own.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'mcplex-interop-')));
process.once('exit', () => rmSync(root, { recursive: true, force: true }));

/** A world of this name. */
export function makeWorld(name) {
  const home = join(root, name);
  const world = { root: home, files: join(home, 'files'), memory: join(home, 'memory.json'), repository: join(home, 'repository') };
  mkdirSync(world.files, { recursive: true });
  mkdirSync(world.repository);
  const date = '2026-01-01T00:00:00Z';
  const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date, GIT_CONFIG_GLOBAL: '/dev/null' };
  const git = (...args) => execFileSync('git', ['-C', world.repository, ...args], { env, stdio: 'pipe' });
  git('init', '-q', '-b', 'main');
  writeFileSync(join(world.repository, 'a.txt'), 'a\n');
  git('add', '.');
  git('-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', 'commit', '-q', '-m', 'the only commit');
  return world;
}
