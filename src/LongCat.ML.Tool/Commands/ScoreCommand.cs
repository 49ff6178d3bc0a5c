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
        Option<int> maxNewTokens = new("--max-new-tokens") { Description = "generate: at most so many new tokens.", DefaultValueFactory = _ => 128 };
        Option<float> temperature = new("--temperature") { Description = "generate: 0 takes the likeliest token.", DefaultValueFactory = _ => 0 };
        Option<ulong?> seed = new("--seed") { Description = "generate: the same seed gives the same text." };
        Option<string[]> stop = new("--stop") { Description = "generate: stop before this text.", DefaultValueFactory = _ => [] };
        Option<PromptOverflow> overflow = new("--overflow")
        {
            Description = "A row longer than the context: Fail, TruncateLeft or TruncateRight.",
            DefaultValueFactory = _ => PromptOverflow.Fail,
        };
        Option<int> inFlight = new("--rows-in-flight") { Description = "Rows in the engine at once.", DefaultValueFactory = _ => 32 };
        Option<int> threads = EngineArguments.Threads();
        Command command = new("score", "Run the model over a file of rows.")
        {
            folder, input, output, column, continuation, mode, labels, normalize, maxNewTokens, temperature, seed, stop, overflow, inFlight, threads,
        };
        command.SetAction(async (result, cancellationToken) =>
        {
            string[] names = result.GetValue(labels) ?? [];
            string chosen = result.GetRequiredValue(mode);
            if (chosen == "classify" && names.Length < 2)
            {
                throw new UsageException($"--mode classify has {names.Length} labels, expected at least two: --label A --label B");
            }

            int rowsInFlight = result.GetValue(inFlight);
            if (rowsInFlight < 1)
            {
                throw new UsageException($"--rows-in-flight is {rowsInFlight}, expected 1 or more");
            }

            string inputPath = result.GetRequiredValue(input);
            if (!File.Exists(inputPath))
            {
                throw new FileNotFoundException($"{inputPath} does not exist");
            }

            await using InferenceEngine engine = InferenceEngine.Load(result.GetRequiredValue(folder), new EngineOptions { Threads = result.GetValue(threads) });
            string text = result.GetRequiredValue(column);
            PromptOverflow whenTooLong = result.GetValue(overflow);
            RowScorer scorer = chosen switch
            {
                "score" => new LikelihoodScorer(engine, text, result.GetValue(continuation), whenTooLong),
                "classify" => new LabelScorer(engine, text, names, result.GetValue(normalize), whenTooLong),
                _ => new CompletionScorer(engine, text, new GenerationOptions
                {
                    MaxNewTokens = result.GetValue(maxNewTokens),
                    Temperature = result.GetValue(temperature),
                    Seed = result.GetValue(seed),
                    StopStrings = result.GetValue(stop) ?? [],
                    Overflow = whenTooLong,
                }),
            };

            using ProgressLine line = new("score", " rows");
            JsonLinesJob job = new(scorer, rowsInFlight);
            JobSummary summary = await job.RunAsync(inputPath, result.GetRequiredValue(output), line, cancellationToken).ConfigureAwait(false);
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
}
