using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Jobs;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat score</c>: JSON lines in, JSON lines out, many rows in flight.</summary>
internal static class ScoreCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "An ONNX folder written by longcat export." };
        ScoreStreams streams = new();
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
        Option<long?> cacheMemory = EngineArguments.CacheMemory();
        Option<long> maxFailed = EngineArguments.Number("--max-failed-rows", "As long as no more rows (of a shard) fail, the exit code is 0; it is 1 otherwise. The rows are written in any case.", 0L, value => value >= 0, "0 or more");
        AdapterArguments adapters = new(rows: true);
        Command command = new("score", "Run the model over a file of rows.")
        {
            folder, column, continuation, mode, labels, normalize, maxNewTokens, temperature, seed, stop, overflow, inFlight, threads, pages, cacheMemory, maxFailed,
        };
        streams.AddTo(command);
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
            ScoreTarget target = streams.Read(result);
            TextWriter error = result.InvocationConfiguration.Error;
            string[] settings = JobSettings.Of(
                result.GetRequiredValue(folder), selection, chosen,
                [
                    ("column", result.GetValue(column)), ("continuation column", result.GetValue(continuation)), ("labels", names), ("normalize by length", result.GetValue(normalize)),
                    ("new tokens", result.GetValue(maxNewTokens)), ("temperature", result.GetValue(temperature)), ("seed", result.GetValue(seed)), ("stop", result.GetValue(stop)), ("overflow", result.GetValue(overflow).ToString()),
                ]);
            InferenceEngine? engine = null;
            try
            {
                ScoreOutcome outcome = await target.RunAsync(settings, Rows, error, cancellationToken).ConfigureAwait(false);
                return outcome.Report(error, result.GetValue(maxFailed));
            }
            finally
            {
                if (engine is not null)
                {
                    await engine.DisposeAsync().ConfigureAwait(false);
                }
            }

            RowRunner Rows()
            {
                engine = EngineArguments.Load(
                    result.GetRequiredValue(folder),
                    new EngineOptions
                    {
                        Threads = result.GetValue(threads),
                        WeightPages = result.GetValue(pages),
                        Adapters = selection.Adapters,
                        MemoryBudgetBytes = result.GetValue(cacheMemory) ?? new EngineOptions().MemoryBudgetBytes,
                    },
                    error);
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
                return new RowRunner(scorer.ScoreAsync, result.GetValue(inFlight)) { Reserved = target.ReservedField };
            }
        });
        return command;
    }
}
