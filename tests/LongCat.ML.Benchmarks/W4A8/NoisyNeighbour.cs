using System.Diagnostics;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>Another program that keeps every core busy until it is disposed: this one, started again.</summary>
internal sealed class NoisyNeighbour : IDisposable
{
    public const string Verb = "noisy-neighbour";

    // Never for long: whoever kills the benchmark the hard way shall have a quiet machine again.
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(3);
    private readonly Process process;

    public NoisyNeighbour()
    {
        process = Process.Start(new ProcessStartInfo("dotnet", [typeof(NoisyNeighbour).Assembly.Location, Verb, $"{Environment.ProcessId}"]) { RedirectStandardOutput = true })!;

        // It says so when all of its threads run.
        process.StandardOutput.ReadLine();
    }

    /// <summary>What that program does: multiplications in registers on as many threads as there are cores, until its parent is gone or it is killed.</summary>
    public static int Run(int parent)
    {
        Thread[] threads = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new Thread(() =>
        {
            while (true)
            {
                MultiplyAddPeak.Run();
            }
        }) { IsBackground = true })];
        Array.ForEach(threads, thread => thread.Start());
        Thread.Sleep(200);
        Console.WriteLine("busy");
        using Process watched = Process.GetProcessById(parent);
        watched.WaitForExit(Longest);
        return 0;
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}
