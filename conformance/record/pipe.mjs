// Stands between two that talk over stdin and stdout, and records them:
// pipe.mjs FILE client|server COMMAND ARGUMENTS...; the second says on which side mcplex is.
//
// It is the command in the place of COMMAND: bytes, ends and signals go through, and it ends as that
// does.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Record, lines } from './record.mjs';

/** The command that starts another one recorded. */
export function recorded(file, judged, [command, ...args]) {
  return [process.execPath, fileURLToPath(import.meta.url), file, judged, command, ...args];
}

function run(file, judged, command, args) {
  const record = new Record(file, judged);
  const hears = (side) => lines((text) => record.say(process.pid, side, text));
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`${command}: ${error.message}`);
    process.exit(127);
  });
  pass(process.stdin, child.stdin, hears('client'));
  pass(child.stdout, process.stdout, hears('server'));
  child.on('close', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    // What is written to a pipe is gone by now; a signal that is ignored becomes the code of a shell.
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

/** Copies a stream and shows each piece first. */
function pass(from, to, hear) {
  from.on('data', hear);
  from.pipe(to);
  // Who does not read any more is told so by the end of the other.
  to.on('error', () => from.destroy());
  from.on('error', () => to.end());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , file, judged, command, ...args] = process.argv;
  run(file, judged, command, args);
}
