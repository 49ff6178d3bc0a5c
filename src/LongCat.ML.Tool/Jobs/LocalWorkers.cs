using System.Diagnostics;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Jobs;

/// <summary>Does all shards of a job on this machine: one child process of this tool for each, several at once.</summary>
/// <param name="shards">How many shards.</param>
/// <param name="arguments">The command line without what says that it is local.</param>
/// <param name="output">Hears of every child's end.</param>
internal sealed class LocalWorkers(int shards, IReadOnlyList<string> arguments, TextWriter output)
{
    private const int Attempts = 3;

    /// <summary>Runs them all. A child that says "try again", or that a signal ended, is started again, three times at most.</summary>
    /// <param name="cancellationToken">Ends the children; what they did is kept.</param>
    /// <returns>0; 1 where rows failed or a child refuses its input; 75 where a shard is not finished and may be later.</returns>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        int[] codes = await Task.WhenAll(Enumerable.Range(0, shards).Select(shard => OneAsync(shard, cancellationToken))).ConfigureAwait(false);
        return codes.FirstOrDefault(code => code is not (CommandHost.Success or CommandHost.FailingInput or CommandHost.TryAgain)) is var other and not 0 ? other
            : codes.Contains(CommandHost.TryAgain) ? CommandHost.TryAgain : codes.Max();
    }

    private async Task<int> OneAsync(int shard, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            int code = await StartAsync(shard, cancellationToken).ConfigureAwait(false);
            bool again = code == CommandHost.TryAgain || code > 128;
            if (!again || attempt == Attempts)
            {
                // 128 + n: a signal ended it, so nothing is wrong with the input.
                return again ? CommandHost.TryAgain : code;
            }

            await output.WriteLineAsync($"shard {shard}/{shards} ended with {code}; starting it again").ConfigureAwait(false);
        }
    }

    private async Task<int> StartAsync(int shard, CancellationToken cancellationToken)
    {
        string self = Environment.ProcessPath ?? throw new InvalidOperationException("the path of this process is not known; start the shards one by one with --shard i/n");
        ProcessStartInfo start = new(self) { RedirectStandardError = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(self) == "dotnet")
        {
            start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]);
        }

        foreach (string argument in (IEnumerable<string>)[.. arguments, "--shard", $"{shard}/{shards}"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) => Print(shard, line.Data);
        process.OutputDataReceived += (_, line) => Print(shard, line.Data);
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        try
        {
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            return process.ExitCode;
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }

    private void Print(int shard, string? line)
    {
        if (line is not null)
        {
            lock (output)
            {
                output.WriteLine($"[{shard}] {line}");
            }
        }
    }
}
