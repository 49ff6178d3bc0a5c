using System.Globalization;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Jobs;

/// <summary>Which of how many workers this is.</summary>
/// <param name="Index">From 0.</param>
/// <param name="Count">How many there are.</param>
internal sealed record ShardChoice(int Index, int Count)
{
    public const int MostShards = 100_000;

    /// <summary>
    /// What <c>--shard i/n</c> says; without it what a scheduler's environment says: <c>SHARD_INDEX</c> and <c>SHARD_COUNT</c>, <c>JOB_COMPLETION_INDEX</c> (Kubernetes) with <c>JOB_COMPLETION_COUNT</c>,
    /// <c>SLURM_ARRAY_TASK_ID</c> with <c>SLURM_ARRAY_TASK_COUNT</c>, <c>_MIN</c> and <c>_STEP</c>; else one worker has all rows.
    /// </summary>
    /// <param name="option">The option's value, or null.</param>
    /// <param name="environment">Gives a variable's value; null or empty where it is not set.</param>
    /// <exception cref="UsageException">A value is no number, out of range, or its partner is missing.</exception>
    public static ShardChoice Read(string? option, Func<string, string?> environment)
    {
        if (option is not null)
        {
            string[] parts = option.Split('/');
            return parts.Length == 2 && Number(parts[0]) is { } i && Number(parts[1]) is { } n && n is >= 1 and <= MostShards && i < n
                ? new ShardChoice(i, n)
                : throw new UsageException($"--shard is '{option}', expected i/n with i from 0 to n - 1, 0/4 to 3/4 for four workers");
        }

        string? Variable(string name) => environment(name) is { Length: > 0 } value ? value : null;
        if (Variable("SHARD_INDEX") is not null || Variable("SHARD_COUNT") is not null)
        {
            return Of("SHARD_INDEX", Required("SHARD_INDEX"), "SHARD_COUNT", Required("SHARD_COUNT"));
        }

        if (Variable("JOB_COMPLETION_INDEX") is not null)
        {
            return Of("JOB_COMPLETION_INDEX", Required("JOB_COMPLETION_INDEX"), "JOB_COMPLETION_COUNT", Required("JOB_COMPLETION_COUNT", "Kubernetes does not set it: set it to the job's completions"));
        }

        if (Variable("SLURM_ARRAY_TASK_ID") is null)
        {
            return new ShardChoice(0, 1);
        }

        int first = Variable("SLURM_ARRAY_TASK_MIN") is null ? 0 : Required("SLURM_ARRAY_TASK_MIN"), step = Variable("SLURM_ARRAY_TASK_STEP") is null ? 1 : Math.Max(1, Required("SLURM_ARRAY_TASK_STEP"));
        int id = Required("SLURM_ARRAY_TASK_ID") - first;
        return id % step == 0
            ? Of("SLURM_ARRAY_TASK_ID", id / step, "SLURM_ARRAY_TASK_COUNT", Required("SLURM_ARRAY_TASK_COUNT"))
            : throw new UsageException("SLURM_ARRAY_TASK_ID is no step of the array: number the tasks without gaps (--array=0-3), or give --shard");

        int Required(string name, string hint = "a scheduler sets both")
        {
            string text = Variable(name) ?? throw new UsageException($"{name} is not set, expected a number ({hint}); or give --shard i/n");
            return Number(text) ?? throw new UsageException($"{name} is '{text}', expected a number from 0");
        }

        static ShardChoice Of(string indexName, int index, string countName, int count) =>
            count is < 1 or > MostShards ? throw new UsageException($"{countName} is {count}, expected 1 to {MostShards}")
            : index < 0 || index >= count ? throw new UsageException($"{indexName} is worker {index} of {count} ({countName}), expected 0 to {count - 1}: number the tasks without gaps, or give --shard i/n")
            : new ShardChoice(index, count);
    }

    private static int? Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;
}
