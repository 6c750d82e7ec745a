import { runDoctorCommand } from './doctor/command.ts'

delete process.env.DEBUG // libraries that are loaded later would print credentials
const { exitCode, output, error } = await runDoctorCommand(process.argv.slice(2), process.env)
if (error !== undefined) process.stderr.write(error)
// Once the last byte is written, the process ends at once: a name server or a disk may still keep it waiting.
process.stdout.write(output ?? '', () => process.exit(exitCode))
