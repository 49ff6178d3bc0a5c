using System.CommandLine;
using System.CommandLine.Parsing;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Jobs;

namespace LongCat.ML.Tool.Commands;

/// <summary>The options that say from where to where rows go, and which of them.</summary>
internal sealed class ScoreStreams
{
    private readonly Option<string?> _input = new("--input", "-i") { Description = "A file of JSON objects, one a line." };
    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = "The file to write: each input object with the result's fields added. A folder (its name ends in /, it exists, or --shard is given) takes the parts of a job, whose worker continues where another ended.",
    };

    private readonly Option<bool> _stdin = new("--stdin") { Description = "Read the rows from standard input instead of --input." };
    private readonly Option<bool> _stdout = new("--stdout") { Description = "Write the rows to standard output instead of --output, each as soon as it and those before it are there." };
    private readonly Option<string?> _shard = new("--shard")
    {
        Description = "i/n: which of n workers this is, i from 0. Without it SHARD_INDEX and SHARD_COUNT, JOB_COMPLETION_INDEX and JOB_COMPLETION_COUNT, or SLURM_ARRAY_TASK_ID and _COUNT say so where the output is a folder.",
    };

    private readonly Option<int?> _shards = EngineArguments.Number<int?>("--shards", "With --local: the number of shards.", null, value => value is >= 1 and <= ShardChoice.MostShards, "1 to 100000");
    private readonly Option<bool> _local = new("--local") { Description = "Run all --shards on this machine, a process for each." };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _input, _output, _stdin, _stdout, _shard, _shards, _local })
        {
            command.Options.Add(option);
        }
    }

    /// <summary>What the command line and the environment say.</summary>
    /// <exception cref="UsageException">They contradict each other, or something is missing.</exception>
    /// <exception cref="IOException">A path is not what it should be.</exception>
    public ScoreTarget Read(ParseResult result)
    {
        string? input = result.GetValue(_input), output = result.GetValue(_output), shard = result.GetValue(_shard);
        One("--input", input, "--stdin", result.GetValue(_stdin));
        One("--output", output, "--stdout", result.GetValue(_stdout));
        int? shards = result.GetValue(_shards);
        bool local = result.GetValue(_local);
        if (local != (shards is not null))
        {
            throw new UsageException(local ? "--local needs --shards n" : "--shards goes with --local; a single worker takes --shard i/n");
        }

        if (local && shard is not null)
        {
            throw new UsageException("give either --shard, for one worker, or --shards with --local, for all of them");
        }

        bool job = shard is not null || local || (output is not null && (Path.EndsInDirectorySeparator(output) || Directory.Exists(output)));
        if (!job)
        {
            if (input is not null && output is not null)
            {
                ScoreTarget.CheckPaths(input, output);
            }
            else if (input is not null)
            {
                ScoreTarget.CheckInput(input);
            }

            return new ScoreTarget(input, output, null, null);
        }

        if (input is null || output is null)
        {
            throw new UsageException("a job of shards needs --input and --output: a pipe cannot be read again by another worker");
        }

        ScoreTarget.CheckInput(input);
        if (File.Exists(output))
        {
            throw new IOException($"{output} is a file, expected the folder of the job's parts");
        }

        ShardChoice choice = local ? new ShardChoice(0, shards!.Value) : ShardChoice.Read(shard, Environment.GetEnvironmentVariable);
        return new ScoreTarget(input, Path.TrimEndingDirectorySeparator(output), choice, local ? Children(result, shards!.Value) : null);
    }

    private static void One(string file, string? path, string pipe, bool piped)
    {
        if (path is { Length: 0 })
        {
            throw new UsageException($"{file} is empty, expected a value");
        }

        if (path is null != piped)
        {
            throw new UsageException(piped ? $"give either {file} or {pipe}" : $"{file} is missing, expected a path, or {pipe}");
        }
    }

    /// <summary>This command line for a child: without --shards and --local, and with its share of the cores where the user did not say how many threads.</summary>
    private List<string> Children(ParseResult result, int shards)
    {
        List<string> arguments = [];
        bool skip = false, threads = false;
        foreach (Token token in result.Tokens)
        {
            bool value = skip;
            skip = token.Type == TokenType.Option && token.Value == _shards.Name;
            threads |= token.Type == TokenType.Option && token.Value == "--threads";
            if (!value && !skip && !(token.Type == TokenType.Option && token.Value == _local.Name))
            {
                arguments.Add(token.Value);
            }
        }

        return threads ? arguments : [.. arguments, "--threads", Math.Max(1, Environment.ProcessorCount / shards).ToString(System.Globalization.CultureInfo.InvariantCulture)];
    }
}
