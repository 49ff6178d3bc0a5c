using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The states of one run: they lie beside the output until it is there, so that a run that was stopped or killed goes on with <c>--resume</c>.</summary>
internal sealed class RunStates(string output, bool overwrite, bool resume)
{
    /// <summary>Where the states lie.</summary>
    public string Folder { get; } = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output)) + ".state";

    /// <summary>Whether the output may be replaced. A run that was killed after its output appeared is finished again, to the same output.</summary>
    public bool Replace { get; private set; }

    /// <summary>Makes the place ready, or finds that there is nothing left to do.</summary>
    /// <returns>False where the run to resume is complete.</returns>
    /// <exception cref="UsageException">States of a run that has not ended, and neither <c>--resume</c> nor <c>--overwrite</c>.</exception>
    public bool Begin()
    {
        bool states = Directory.Exists(Folder);
        if (resume && !overwrite && Directory.Exists(output) && !states)
        {
            Console.WriteLine($"{output} is complete; nothing to resume");
            return false;
        }

        Replace = overwrite || (resume && states);
        FineTuner.CheckOutput(output, Replace);
        if (!resume && states)
        {
            if (!overwrite)
            {
                throw new UsageException($"{Folder} holds the states of a run that has not ended; continue it with --resume, or begin anew with --overwrite");
            }

            Delete();
        }

        return true;
    }

    /// <summary>Says where a resumed run goes on.</summary>
    /// <param name="tryResume">Takes the newest state; false where there is none.</param>
    /// <param name="step">The step that is reached then.</param>
    public void Resume(Func<bool> tryResume, Func<long> step)
    {
        if (resume)
        {
            Console.WriteLine(tryResume() ? $"resumed at step {step()}" : $"no state in {Folder}; beginning anew");
        }
    }

    /// <summary>The output is there: its states go.</summary>
    public void Delete()
    {
        if (Directory.Exists(Folder))
        {
            Directory.Delete(Folder, recursive: true);
        }
    }
}
