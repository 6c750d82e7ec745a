import { parseEnv } from 'node:util'
import { Deployment } from 'kubernetes-models/apps/v1'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Namespace, PersistentVolumeClaim, Secret, Service } from 'kubernetes-models/v1'
import { describe, expect, test } from 'vitest'
import { Variables } from '../../src/config/variables.ts'
import { documentsIn, find, isVariable, packageVersion, publicPaths, read } from './files.ts'

const kinds = { Deployment, NetworkPolicy, PodDisruptionBudget, Namespace, PersistentVolumeClaim, Secret, Service }
const folder = 'deploy/kubernetes'
const manifests = find(`${folder}/**/*.yaml`)
  .filter(path => !path.endsWith('kustomization.yaml'))
  .flatMap(path => documentsIn(path).map(manifest => ({ path, kind: String(manifest.kind), manifest })))
const only = (kind: string, path = `${folder}/gateway/`) =>
  manifests.filter(one => one.kind === kind && one.path.startsWith(path)).map(one => one.manifest)

const [deployment] = only('Deployment')
const pod = deployment.spec.template
const [container] = pod.spec.containers
const settings = parseEnv(read(`${folder}/gateway/gateway.env`))
const [secret] = documentsIn(`${folder}/secret.example.yaml`)

describe('deploy/kubernetes', () => {
  test.for(manifests)('$path: $kind is what Kubernetes takes', ({ kind, manifest }) => {
    const Model = kinds[kind as keyof typeof kinds] // checked on the next line

    expect(Object.keys(kinds)).toContain(kind)
    expect(manifest.apiVersion).toBe(Model.apiVersion)
    // A patch is no whole deployment: what it leaves out is that of the one it changes, and `$patch` is for Kustomize.
    const whole = 'selector' in (manifest.spec ?? {}) || kind !== 'Deployment' ? manifest : completed(manifest)
    expect(() => new Model(whole).validate()).not.toThrow()
  })

  test('has every file in a kustomization, but for the example of a secret', () => {
    const named = find(`${folder}/**/kustomization.yaml`).flatMap(path => {
      const [{ resources = [], patches = [], configMapGenerator = [] }] = documentsIn(path)
      const files = [...resources, ...patches.map(({ path }: { path: string }) => path), ...configMapGenerator.flatMap(envsOf)]
      return files.map(name => new URL(name, `file:///${path}`).pathname.slice(1))
    })

    const files = find(`${folder}/**/*.{yaml,env}`).filter(path => !/kustomization|secret\.example/.test(path))
    expect(files.filter(path => !named.includes(path))).toEqual([])
    expect(named.filter(name => !files.includes(name) && find(`${name}/kustomization.yaml`).length === 0)).toEqual([])
  })

  test('takes the image of this version', () => {
    for (const path of [folder, `${folder}/sqlite`]) {
      expect(documentsIn(`${path}/kustomization.yaml`)[0].images).toEqual([{ name: container.image, newTag: packageVersion }])
    }
  })

  test('runs the command of the image, which turns core dumps off', () => {
    for (const one of [container, patched()]) for (const key of ['command', 'args']) expect(one).not.toHaveProperty(key)
  })

  test('sets only what the gateway reads', () => {
    const names = [...Object.keys(settings), ...namesOf(container.env), ...namesOf(patched().env)]

    expect(names.filter(name => !isVariable(name))).toEqual([])
  })

  test('reads each secret from a file that the example has', () => {
    const [{ mountPath }] = container.volumeMounts
    const files = container.env.map(({ value }: { value: string }) => value)

    expect(files.sort()).toEqual(
      Object.keys(secret.stringData)
        .map(key => `${mountPath}/${key}`)
        .sort(),
    )
    expect(pod.spec.volumes[0]).toMatchObject({ name: container.volumeMounts[0].name, secret: { secretName: secret.metadata.name } })
    expect(pod.spec.volumes[0].secret.defaultMode.toString(8)).toBe('440')
  })

  test('shows fake secrets only', () => {
    expect(secret.stringData['afilnet-password']).toMatch(/^fake-/)
    expect(new URL(secret.stringData['store-url']).password).toMatch(/^fake-/)
    expect(secret.stringData['gateway-key-sha256']).toMatch(/^0{64}$/)
  })

  test('gives the pods no right that they do not need', () => {
    expect(pod.spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(container.resources.limits.memory).toBe('512Mi')
  })

  test('lets the pods write temporary files, as many as uploads of one time need', () => {
    const mount = container.volumeMounts.find(({ mountPath }: { mountPath: string }) => mountPath === '/tmp')
    const volume = pod.spec.volumes.find(({ name }: { name: string }) => name === mount?.name)
    const [, gibibytes] = /^(\d+)Gi$/.exec(volume?.emptyDir?.sizeLimit) ?? [] // of a disk: no medium

    expect(volume?.emptyDir).not.toHaveProperty('medium')
    expect(Number(gibibytes) * 2 ** 30).toBeGreaterThanOrEqual(64 * 2 * Variables.properties.MEDIA_MAX_BYTES.default)
  })

  test('probes paths and ports that the gateway has', () => {
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet)

    expect(probes).toEqual(['live', 'live', 'ready'].map(name => ({ path: `/health/${name}`, port: 'http' })))
    expect(publicPaths).toEqual(expect.arrayContaining(probes.map(({ path }) => path)))
    expect(container.ports).toEqual([
      { name: 'http', containerPort: 3000 },
      { name: 'metrics', containerPort: Number(settings.ADMIN_PORT) },
    ])
    expect(read('Dockerfile')).toContain(`PORT=${container.ports[0].containerPort}\n`)
  })

  test('waits for a drain, whose delay outlasts the probes', () => {
    const { periodSeconds, failureThreshold } = container.readinessProbe

    expect(pod.spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(Number(settings.DRAIN_MS))
    expect(Number(settings.DRAIN_DELAY_MS)).toBeGreaterThan(periodSeconds * failureThreshold * 1000)
    expect(Number(settings.DRAIN_MS)).toBeGreaterThan(Number(settings.DRAIN_DELAY_MS) + 10_000 + 1_000) // and one whole call
  })

  test('selects its own pods everywhere, by ports that they name', () => {
    const { labels } = pod.metadata
    const selectors = [
      deployment.spec.selector.matchLabels,
      ...only('Service').map(({ spec }) => spec.selector),
      ...[...only('PodDisruptionBudget'), ...only('NetworkPolicy')].map(({ spec }) => (spec.selector ?? spec.podSelector).matchLabels),
      ...pod.spec.topologySpreadConstraints.map(({ labelSelector }: Selecting) => labelSelector.matchLabels),
    ]
    const ports = only('Service').flatMap(({ spec }) => spec.ports.map(({ targetPort }: { targetPort: string }) => targetPort))

    expect(selectors).toHaveLength(7)
    for (const selector of selectors) expect(selector).toEqual(labels)
    expect(ports).toEqual(['http', 'metrics'])
    expect(only('Service')[1].metadata.annotations).toMatchObject({ 'prometheus.io/port': settings.ADMIN_PORT })
  })

  test('lets in requests, and Prometheus alone to the metrics; lets out DNS, Afilnet, the store and traces', () => {
    const [{ spec }] = only('NetworkPolicy')
    const out = spec.egress.map(({ ports }: Ports) => ports.map(({ port, protocol = 'TCP' }) => `${protocol} ${port}`))

    expect(spec.policyTypes).toEqual(['Ingress', 'Egress'])
    expect(spec.ingress).toEqual([
      { ports: [{ port: 'http' }] },
      { from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }], ports: [{ port: 'metrics' }] },
    ])
    expect(out).toEqual([['UDP 53', 'TCP 53'], ['TCP 443'], ['TCP 6379'], ['TCP 4318']])
    expect(spec.egress.every(({ to }: { to: unknown[] }) => to.length === 1)).toBe(true)
    expect(new URL(secret.stringData['store-url']).port).toBe('6379')
  })

  test('with SQLite, runs one replica that is gone before the next one starts', () => {
    const [{ spec }] = only('Deployment', `${folder}/sqlite/`)
    const [volume] = only('PersistentVolumeClaim', `${folder}/sqlite/`)
    const { env, volumeMounts } = patched()

    expect(spec).toMatchObject({ replicas: 1, strategy: { $patch: 'replace', type: 'Recreate' } })
    expect(volume.spec.accessModes).toEqual(['ReadWriteOncePod'])
    expect(spec.template.spec.volumes).toEqual([{ name: volumeMounts[0].name, persistentVolumeClaim: { claimName: volume.metadata.name } }])
    expect(env).toEqual([
      { name: 'STORE_URL_FILE', $patch: 'delete' },
      { name: 'STORE_URL', value: `sqlite:${volumeMounts[0].mountPath}/gateway.sqlite` },
    ])
    expect(read('Dockerfile')).toContain(`VOLUME ${volumeMounts[0].mountPath}\n`)
  })
})

type Selecting = { labelSelector: { matchLabels: unknown } }
type Ports = { ports: { port: number | string; protocol?: string }[] }

const envsOf = ({ envs }: { envs: string[] }) => envs
const namesOf = (env: { name: string }[]) => env.map(({ name }) => name)
const patched = () => only('Deployment', `${folder}/sqlite/`)[0].spec.template.spec.containers[0]

function completed({ spec, ...rest }: typeof deployment) {
  const withoutPatch = JSON.parse(JSON.stringify(spec, (key, value) => (key === '$patch' ? undefined : value)))
  const template = { ...pod, spec: withoutPatch.template.spec }
  return { ...rest, spec: { ...withoutPatch, selector: deployment.spec.selector, template } }
}
