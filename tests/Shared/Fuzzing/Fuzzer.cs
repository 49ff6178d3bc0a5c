using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace LongCat.ML.TestShared.Fuzzing;

/// <summary>
/// Runs a reader over mutated input: nothing but the exceptions it declares may come out, within bounded time and memory. With LONGCAT_FUZZ_SECONDS it
/// goes on for that long from a seed of its own (or LONGCAT_FUZZ_SEED); LONGCAT_FUZZ_CASE repeats a single case.
/// </summary>
internal static class Fuzzer
{
    /// <summary>What a single case may allocate in total (not at once), as a multiple of its input, and beyond it.</summary>
    private const long AllocationPerByte = 4096, AllocationBase = 1L << 30;

    /// <summary>What a single case may take; far above any of them, since other work may hold the machine up.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(15);

    /// <summary>Whether a longer run was asked for.</summary>
    public static bool IsLong => Seconds > 0;

    private static double Seconds => double.TryParse(Environment.GetEnvironmentVariable("LONGCAT_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out double seconds) ? seconds : 0;

    /// <summary>Runs cases.</summary>
    /// <param name="cases">How many, where no longer run was asked for.</param>
    /// <param name="seed">The seed of the short run.</param>
    /// <param name="make">Makes the input of a case.</param>
    /// <param name="read">Reads it; true when it was taken, false when it was refused with a declared exception.</param>
    /// <returns>A line for the log.</returns>
    public static string Run(int cases, int seed, Func<Random, byte[]> make, Func<byte[], bool> read)
    {
        string? given = Environment.GetEnvironmentVariable("LONGCAT_FUZZ_SEED"), single = Environment.GetEnvironmentVariable("LONGCAT_FUZZ_CASE");
        seed = int.TryParse(given, CultureInfo.InvariantCulture, out int chosen) ? chosen : IsLong ? Environment.TickCount : seed;
        int first = int.TryParse(single, CultureInfo.InvariantCulture, out int only) ? only : 0;
        Stopwatch total = Stopwatch.StartNew();
        int done = 0, taken = 0;
        long most = 0;
        TimeSpan slowest = TimeSpan.Zero;
        for (int number = first; single is not null ? number == first : IsLong ? total.Elapsed.TotalSeconds < Seconds : number < cases; number++)
        {
            byte[] input = make(new Random(unchecked((seed * 486187739) + number)));
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            try
            {
                taken += read(input) ? 1 : 0;
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"{Name(seed, number, input)}: {error}", error);
            }

            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            done++;
            most = Math.Max(most, allocated);
            slowest = elapsed > slowest ? elapsed : slowest;
            if (allocated > AllocationBase + (AllocationPerByte * input.Length) || elapsed > s_longest)
            {
                throw new InvalidOperationException($"{Name(seed, number, input)}: {allocated} bytes allocated and {elapsed.TotalSeconds:F1} s, expected at most {AllocationBase} + {AllocationPerByte} × the input and {s_longest.TotalSeconds} s");
            }
        }

        return string.Create(
            CultureInfo.InvariantCulture,
            $"{done} cases from seed {seed} in {total.Elapsed.TotalSeconds:F1} s: {taken} taken, {done - taken} refused; at most {most / 1024} KiB and {slowest.TotalMilliseconds:F0} ms for one");
    }

    private static string Name(int seed, int number, byte[] input)
    {
        string text = Encoding.UTF8.GetString(input, 0, Math.Min(input.Length, 4000));
        return $"case {number} of seed {seed} (LONGCAT_FUZZ_SEED={seed} LONGCAT_FUZZ_CASE={number} repeats it), {input.Length} bytes:\n{text}\n";
    }
}
