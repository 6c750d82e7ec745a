import { Type } from '@sinclair/typebox'
import { expectedHost, expectedUrl, type Field, flag, type Group, integer, milliseconds, port, text } from './fields.ts'

/** The two listeners and what they serve. */
export const server = {
  title: 'The server',
  variables: {
    HOST: Type.String({
      default: '127.0.0.1',
      expected: expectedHost,
      description: 'The address that the gateway listens on; 0.0.0.0 or :: for all.',
    } satisfies Field),
    PORT: Type.Integer({
      ...port,
      default: 3000,
      description:
        'The port of the gateway. 0 takes any free port; the log line `gateway is ready` shows it. On Linux sixteen listeners share the port.',
    } satisfies Field),
    ADMIN_HOST: Type.String({
      default: '127.0.0.1',
      expected: expectedHost,
      description:
        'The address of the admin listener: /metrics for Prometheus, /health/upstream and /callers. It needs no key, so keep it on loopback or inside the cluster.',
    } satisfies Field),
    ADMIN_PORT: integer({
      ...port,
      description:
        'The port of the admin listener. Default: 3001; if that port is taken and this variable is not set, there is no admin listener.',
      example: '3001',
    }),
    TRUST_PROXY: text({
      expected: 'addresses or CIDR blocks separated by commas, such as 10.0.0.0/8,fd00::/8',
      description: 'Proxies in front whose X-Forwarded-For counts: addresses or CIDR blocks separated by commas.',
      example: '10.0.0.0/8,fd00::/8',
    }),
    CORS_ORIGINS: text({
      expected: 'exact origins separated by commas, such as https://app.example.com',
      description:
        'Origins of web pages that may call from a browser, exactly as browsers send them. Cookies are never allowed. Everyone who loads the page can read a key in it, so prefer a backend for the page.',
      example: 'https://app.example.com',
    }),
    PUBLIC_URL: text({
      expected: expectedUrl,
      description:
        'The URL that callers use, if it is not HOST and PORT; may have a path, which the proxy in front strips. Makes `type` of errors, `Location` and the API document absolute.',
      example: 'https://chat.example.com/api',
    }),
    MCP: flag(false, 'Serve tools for agents at POST /mcp (Model Context Protocol): true or false.'),
    DOCS: flag(true, 'Serve Swagger UI at /docs and the API document at /openapi.json: true or false.'),
    LOG_LEVEL: Type.Union(
      (['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const).map(level => Type.Literal(level)),
      {
        default: 'info',
        expected: 'one of trace, debug, info, warn, error, fatal, silent',
        description:
          'trace, debug, info, warn, error, fatal or silent. No level logs the URL of a request, a chat, a text or a credential.',
      } satisfies Field,
    ),
    KEEP_ALIVE_MS: milliseconds(
      72_000,
      1_000,
      'How long an idle connection of a caller is kept, in milliseconds. It must exceed the idle timeout of the load balancer in front.',
      620_000,
    ),
    ALLOW_DEBUG: flag(
      false,
      'Start although a switch is on that prints or opens the memory of the process: NODE_DEBUG with http, https, http2, net, tls, stream, undici, fetch or websocket; --inspect, --insecure-http-parser, --tls-keylog and the like in NODE_OPTIONS or on the command line. Otherwise the gateway refuses to start (exit code 78).',
    ),
  },
} satisfies Group

/** The end of a process. */
export const shutdown = {
  title: 'Shutdown',
  variables: {
    DRAIN_MS: integer({
      minimum: 1,
      maximum: 3_600_000,
      unitMs: 1,
      expected: 'a number of milliseconds (AFILNET_TIMEOUT_MS + 1000 to 3600000)',
      description:
        'How long a shutdown may take, in milliseconds: at least AFILNET_TIMEOUT_MS + 1000. Default: the larger of 15000 and AFILNET_TIMEOUT_MS + DRAIN_DELAY_MS + 5000. The stop timeout of your platform (stop_grace_period of Compose, terminationGracePeriodSeconds of Kubernetes) must be longer.',
      example: '15000',
    }),
    DRAIN_DELAY_MS: milliseconds(
      0,
      0,
      'How long /health/ready says 503 while requests are still served; 5000 behind a load balancer. Shortened if DRAIN_MS has no room for it and one whole call.',
    ),
  },
} satisfies Group
