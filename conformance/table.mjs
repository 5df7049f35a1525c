// One table of all cells: a row for each way to an upstream, a column for each revision.

const titles = { 0.1: 'suite 0.1' };

export function table(cells, columns, score) {
  const rows = new Map();
  for (const cell of cells) rows.set(cell.row, { ...rows.get(cell.row), [cell.revision]: cell });
  const lines = [['', ...columns.map((column) => titles[column] ?? column)]];
  for (const [row, found] of rows) lines.push([row, ...columns.map((column) => (found[column] ? entry(found[column], score) : ''))]);
  const widths = lines[0].map((_title, at) => Math.max(...lines.map((line) => line[at].length)));
  const text = lines.map((line) => line.map((word, at) => word.padEnd(widths[at])).join('  ').trimEnd());
  text.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return `${text.join('\n')}\n\n! is worse than it must be; + counts scenarios that the suite runs without scoring them`;
}

function entry(cell, score) {
  const time = cell.seconds === undefined ? '' : ` ${cell.seconds.toFixed(1)} s`;
  return `${cell.problems?.length > 0 ? '!' : ' '}${score(cell)}${time}`;
}
