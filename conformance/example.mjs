// A value that fits a JSON schema, as simple as it can be.

const simple = {
  string: () => 'something', number: () => 1.5, integer: () => 7, boolean: () => true, null: () => null,
  array: ({ items }) => [exampleOf(items ?? {})],
  object: ({ properties = {}, required = [] }) =>
    Object.fromEntries(required.map((name) => [name, exampleOf(properties[name] ?? {})])),
};

export function exampleOf(schema) {
  if ('const' in schema) return schema.const;
  const chosen = schema.enum?.[0] ?? (schema.oneOf ?? schema.anyOf)?.find((one) => 'const' in one)?.const;
  return chosen ?? (simple[schema.type] ?? simple.string)(schema);
}
