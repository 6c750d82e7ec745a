import { runDoctorCommand } from './doctor/command.ts'
import { printAndExit } from './print-and-exit.ts'

delete process.env.DEBUG // libraries that are loaded later would print credentials
const { exitCode, output, error } = await runDoctorCommand(process.argv.slice(2), process.env)
if (error !== undefined) process.stderr.write(error)
await printAndExit(output ?? '', exitCode)
