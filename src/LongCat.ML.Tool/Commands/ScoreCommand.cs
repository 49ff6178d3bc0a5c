using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat score</c>: JSON lines in, JSON lines out, many rows in flight.</summary>
internal static class ScoreCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "An ONNX folder written by longcat export." };
        Option<string> input = new("--input", "-i") { Description = "A file of JSON objects, one a line.", Required = true };
        Option<string> output = new("--output", "-o") { Description = "The file to write: each input object with the result's fields added.", Required = true };
        Option<string> column = new("--column") { Description = "The field with the text (the prompt).", DefaultValueFactory = _ => "text" };
        Option<string?> continuation = new("--continuation-column") { Description = "score: the field whose likelihood is measured given the text." };
        Option<string> mode = new("--mode") { Description = "generate, score or classify.", DefaultValueFactory = _ => "generate" };
        mode.AcceptOnlyFromAmong("generate", "score", "classify");
        Option<string[]> labels = new("--label") { Description = "classify: a label; give the option once for each.", DefaultValueFactory = _ => [] };
        Option<bool> normalize = new("--normalize-by-length") { Description = "classify: divide a label's log-likelihood by its token count." };
        Option<int> maxNewTokens = EngineArguments.MaxNewTokens("generate: at most so many new tokens.");
        Option<float> temperature = EngineArguments.Temperature("generate: 0 takes the likeliest token.");
        Option<ulong?> seed = new("--seed") { Description = "generate: the same seed gives the same text." };
        Option<string[]> stop = EngineArguments.Stop("generate: stop before this text.");
        Option<PromptOverflow> overflow = new("--overflow")
        {
            Description = "A row longer than the context: Fail, TruncateLeft or TruncateRight.",
            DefaultValueFactory = _ => PromptOverflow.Fail,
        };
        Option<int> inFlight = EngineArguments.Number("--rows-in-flight", "Rows in the engine at once.", 32, value => value >= 1, "1 or more");
        Option<int> threads = EngineArguments.Threads();
        Option<WeightPages> pages = EngineArguments.WeightPages();
        AdapterArguments adapters = new(rows: true);
        Command command = new("score", "Run the model over a file of rows.")
        {
            folder, input, output, column, continuation, mode, labels, normalize, maxNewTokens, temperature, seed, stop, overflow, inFlight, threads, pages,
        };
        adapters.AddTo(command);
        command.SetAction(async (result, cancellationToken) =>
        {
            string[] names = result.GetValue(labels) ?? [];
            string chosen = result.GetRequiredValue(mode);
            if (chosen == "classify" && names.Length < 2)
            {
                throw new UsageException($"--mode classify has {names.Length} labels, expected at least two: --label A --label B");
            }

            if (names.Any(string.IsNullOrEmpty) || names.Distinct(StringComparer.Ordinal).Count() < names.Length)
            {
                throw new UsageException("--label is empty or given twice, expected different labels");
            }

            AdapterSelection selection = adapters.Read(result);
            string inputPath = result.GetRequiredValue(input), outputPath = result.GetRequiredValue(output);
            CheckPaths(inputPath, outputPath);

            await using InferenceEngine engine = EngineArguments.Load(
                result.GetRequiredValue(folder),
                new EngineOptions { Threads = result.GetValue(threads), WeightPages = result.GetValue(pages), Adapters = selection.Adapters },
                result.InvocationConfiguration.Error);
            string text = result.GetRequiredValue(column);
            PromptOverflow whenTooLong = result.GetValue(overflow);
            RowScorer scorer = chosen switch
            {
                "score" => new LikelihoodScorer(engine, text, selection, result.GetValue(continuation), whenTooLong),
                "classify" => new LabelScorer(engine, text, selection, names, result.GetValue(normalize), whenTooLong),
                _ => new CompletionScorer(engine, text, selection, new GenerationOptions
                {
                    MaxNewTokens = result.GetValue(maxNewTokens),
                    Temperature = result.GetValue(temperature),
                    Seed = result.GetValue(seed),
                    StopStrings = result.GetValue(stop) ?? [],
                    Overflow = whenTooLong,
                }),
            };

            using ProgressLine line = new("score", " rows");
            JsonLinesJob job = new(scorer, result.GetValue(inFlight));
            JobSummary summary = await job.RunAsync(inputPath, outputPath, line, cancellationToken).ConfigureAwait(false);
            await result.InvocationConfiguration.Error.WriteLineAsync(
                $"{summary.Rows} rows, {summary.Failed} failed, {summary.Rows / Math.Max(summary.Elapsed.TotalSeconds, 1e-9):0.0} rows/s").ConfigureAwait(false);
            if (summary.Failed > 0)
            {
                await result.InvocationConfiguration.Error.WriteLineAsync(
                    $"error: {summary.Failed} of {summary.Rows} rows failed; their objects in the output carry an error field (first: {summary.FirstError})").ConfigureAwait(false);
                return CommandHost.FailingInput;
            }

            return CommandHost.Success;
        });
        return command;
    }

    /// <summary>What would fail after the last row, or destroy something, is refused before the first.</summary>
    private static void CheckPaths(string input, string output)
    {
        if (!File.Exists(input))
        {
            throw new FileNotFoundException(Directory.Exists(input) ? $"{input} is a folder, expected a file of JSON lines" : $"{input} does not exist");
        }

        if (Directory.Exists(output))
        {
            throw new IOException($"{output} is a folder, expected the name of a file to write");
        }

        if (Target(input) == Target(output))
        {
            throw new UsageException($"--output {output} is the input file; give another name");
        }

        // The output appears by renaming, which would put a plain file in the place of a device or a link.
        if (new FileInfo(output) is { Exists: true } existing
            && (existing.LinkTarget is not null || Path.GetFullPath(output).StartsWith("/dev/", StringComparison.Ordinal)))
        {
            throw new UsageException($"--output {output} is a link or a device, expected a plain file");
        }
    }

    private static string Target(string path) => new FileInfo(path) is { Exists: true } file
        ? file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file.FullName
        : Path.GetFullPath(path);
}
