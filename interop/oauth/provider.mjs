// A real authorization server: `provider.mjs INSTALLED_NODE_DIR`.
//
// Prints one JSON line with its issuer, and serves until its stdin ends. Its clients sign nothing
// in: each name says how it shows who it is, and how its tokens are signed. A token is for the
// resource that was asked for; one whose path ends in `short` lives for a second.

import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.argv[2], 'package.json'));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

/** Key pairs that live as long as this process. */
function pair(kind, options, extra) {
  const { privateKey } = generateKeyPairSync(kind, options);
  const jwk = privateKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(jwk.n ?? jwk.x).digest('base64url').slice(0, 12);
  return { ...jwk, use: 'sig', kid, ...extra };
}

const keys = [
  pair('rsa', { modulusLength: 2048 }),
  pair('ec', { namedCurve: 'P-256' }, { alg: 'ES256' }),
  pair('ec', { namedCurve: 'P-384' }, { alg: 'ES384' }),
  pair('ed25519', undefined, { alg: 'EdDSA' }),
];

/** The clients, by how their tokens are signed. */
const algorithms = { rs: 'RS256', ps: 'PS256', es: 'ES256', es384: 'ES384', ed: 'EdDSA' };
const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const clients = Object.keys(algorithms).map((id) => ({
  ...machine, client_id: id, client_secret: `the secret of ${id}/+:`, token_endpoint_auth_method: 'client_secret_basic',
}));
clients.push({ ...machine, client_id: 'poster', client_secret: 'the secret of poster', token_endpoint_auth_method: 'client_secret_post' });
// The official client does not encode its password, so this one has nothing to encode.
clients.push({ ...machine, client_id: 'official', client_secret: 'plain-secret', token_endpoint_auth_method: 'client_secret_basic' });
// Its key is told by whoever starts us, in an environment variable with a PEM.
if (process.env.SIGNER_KEY) {
  const jwk = createPublicKey(process.env.SIGNER_KEY).export({ format: 'jwk' });
  clients.push({ ...machine, client_id: 'signer', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...jwk, kid: 'signer-1', use: 'sig' }] } });
}
clients.push({
  client_id: 'person', token_endpoint_auth_method: 'none', application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  redirect_uris: ['http://127.0.0.1/callback'],
});

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    scopes: ['openid', 'offline_access', 'mcp', 'tools'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource, client) => ({
          scope: 'mcp tools',
          audience: resource,
          accessTokenTTL: resource.endsWith('short') ? 1 : 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: algorithms[client.clientId] ?? 'RS256' } },
        }),
        useGrantedResource: () => true,
      },
    },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    rotateRefreshToken: true,
    ttl: { AccessToken: 300, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
  });
  server.on('request', provider.callback());
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
process.stdin.resume().on('end', () => process.exit(0));
