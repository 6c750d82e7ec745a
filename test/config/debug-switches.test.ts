import { describe, expect, test } from 'vitest'
import { debugSwitches } from '../../src/config/debug-switches.ts'

describe('debugSwitches', () => {
  test.for(['http', 'net', 'tls', 'undici', 'fs,HTTP', ' undici ', '*', 'http*', 'u*i', 'fetch', 'https', 'http2', 'stream', 'websocket'])(
    'finds NODE_DEBUG=%s',
    value => {
      expect(debugSwitches({ NODE_DEBUG: value }, [])).toEqual([
        { path: 'NODE_DEBUG', message: expect.stringContaining('ALLOW_DEBUG=true') },
      ])
    },
  )

  test.for([
    '--inspect',
    '--inspect=0.0.0.0:9229',
    '--inspect-brk',
    '--inspect_brk',
    '--inspect-wait',
    '--debug-port=1',
    '--insecure-http-parser',
    '--tls-keylog=/tmp/keys',
    '--trace-tls',
    '--tls-min-v1.0',
    '--tls-min-v1.1',
    '--heapsnapshot-signal=SIGUSR2',
    '--heapsnapshot-near-heap-limit=1',
    '--report-on-signal',
    '--report-uncaught-exception',
    '--abort-on-uncaught-exception',
    '--trace-event-categories=node.http',
    '--security-revert=CVE-2023-46809',
  ])('finds %s in NODE_OPTIONS and on the command line', option => {
    const name = option.replace(/=.*/, '').replaceAll('_', '-')

    expect(debugSwitches({ NODE_OPTIONS: `--max-old-space-size=100 ${option}` }, [])).toEqual([
      { path: 'NODE_OPTIONS', message: expect.stringContaining(`${name} `) },
    ])
    expect(debugSwitches({ NODE_OPTIONS: `"${option}"` }, [])).toHaveLength(1)
    expect(debugSwitches({ NODE_OPTIONS: `--title="a b" --""${option.slice(2, 4)}"${option.slice(4)}"` }, [])).toHaveLength(1)
    expect(debugSwitches({ NODE_OPTIONS: `"--\\${option.slice(2)}"` }, [])).toHaveLength(1)
    expect(debugSwitches({}, ['--enable-source-maps', option])).toEqual([
      { path: 'command line', message: expect.stringContaining(`${name} `) },
    ])
  })

  test.for<[Record<string, string>, string[]]>([
    [{}, []],
    [{ NODE_DEBUG: '' }, []],
    [{ NODE_DEBUG: 'fs,module,(' }, []],
    [{ DEBUG: 'false' }, []],
    [{ NODE_OPTIONS: '--max-old-space-size=128 --enable-source-maps --require /opt/inspect.js' }, []],
    [{}, ['--max-semi-space-size=16', '--disable-sigusr1', '--heap-prof', '--cpu-prof', '--env-file-if-exists=.env']],
  ])('lets ordinary settings pass: %j', ([environment, execArgv]) => {
    expect(debugSwitches(environment, execArgv)).toEqual([])
  })
})
