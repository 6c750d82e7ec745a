import { describe, expect, test } from 'vitest'
import { maskStoreUrl, readStoreUrl } from '../../src/store/url.ts'

const local = { kind: 'server', tls: false, hosts: [{ host: '127.0.0.1', port: 6379 }], db: 0 }

describe('The URL of a store', () => {
  test.for([
    ['sqlite::memory:', { kind: 'sqlite', path: ':memory:' }],
    ['sqlite:./data/a?b#c', { kind: 'sqlite', path: './data/a?b#c' }],
    ['redis://127.0.0.1', local],
    ['redis://127.0.0.1/', local],
    ['valkey://127.0.0.1:6380/15', { ...local, hosts: [{ host: '127.0.0.1', port: 6380 }], db: 15 }],
    ['rediss://cache.example.com', { ...local, tls: true, hosts: [{ host: 'cache.example.com', port: 6379 }] }],
    ['valkeys://[::1]:7000', { ...local, tls: true, hosts: [{ host: '::1', port: 7000 }] }],
    ['redis://:fake%40pass%2F@127.0.0.1', { ...local, password: 'fake@pass/' }],
    ['redis://ops:fake-pass@127.0.0.1/3', { ...local, db: 3, username: 'ops', password: 'fake-pass' }],
    [
      'redis+sentinel://ops:fake-pass@one:26380,two,[::1]/ours/2?sentinel_username=u&sentinel_password=fake%2Bs',
      {
        kind: 'server',
        tls: false,
        hosts: [
          { host: 'one', port: 26380 },
          { host: 'two', port: 26379 },
          { host: '::1', port: 26379 },
        ],
        master: 'ours',
        db: 2,
        username: 'ops',
        password: 'fake-pass',
        sentinelUsername: 'u',
        sentinelPassword: 'fake+s',
      },
    ],
    ['valkeys+sentinel://one/ours', { kind: 'server', tls: true, hosts: [{ host: 'one', port: 26379 }], master: 'ours', db: 0 }],
  ])('%s is understood', ([url, place]) => {
    expect(readStoreUrl(url as string)).toEqual(place)
  })

  test.for([
    '',
    'sqlite:',
    'sqlite://host/x',
    'mysql://host',
    'redis:',
    'redis://',
    'redis://:fake@',
    'redis://host:0',
    'redis://host:65536',
    'redis://host:port',
    'redis://host/db',
    'redis://host/-1',
    'redis://host/0/1',
    'redis://host?db=1',
    'redis://one,two',
    'redis://a@b@host',
    'redis://:fake%zz@host',
    'redis://host/#fragment',
    'redis+sentinel://host',
    'redis+sentinel://host/ours?sentinel_passwort=fake',
    'redis+sentinel://host/ours?sentinel_password=fake&sentinel_password=other',
    'redis+sentinel://one,,two/ours',
  ])('%j is none', url => {
    expect(readStoreUrl(url)).toBeUndefined()
  })

  test.for([
    ['sqlite:/var/lib/user:x@y', 'sqlite:/var/lib/user:x@y'],
    ['redis://127.0.0.1:6380/1', 'redis://127.0.0.1:6380/1'],
    ['rediss://ops:fake-pass@host/1', 'rediss://<set>@host/1'],
    ['redis://:fake-pass@host', 'redis://<set>@host'],
    ['redis+sentinel://ops:fake@a:1,b:2/ours?sentinel_password=fake', 'redis+sentinel://<set>@a:1,b:2/ours?<set>'],
  ])('%s is shown as %s', ([url, shown]) => {
    expect(maskStoreUrl(url as string)).toBe(shown)
  })
})
