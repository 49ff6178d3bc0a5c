using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat generate</c>: one prompt, one completion, streamed to standard output.</summary>
internal static class GenerateCommand
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "An ONNX folder written by longcat export." };
        Option<string?> prompt = new("--prompt") { Description = "The text to continue." };
        Option<string?> ids = new("--ids") { Description = "Token ids to continue instead of a text, for instance 1,2,3." };
        Option<int> maxNewTokens = EngineArguments.MaxNewTokens("At most so many new tokens.");
        Option<float> temperature = EngineArguments.Temperature("0 takes the likeliest token.");
        Option<int> topK = EngineArguments.Number("--top-k", "Sample among the k likeliest tokens; 0 for all.", 0, value => value >= 0, "0 or more");
        Option<float> topP = EngineArguments.Number(
            "--top-p", "Sample among the likeliest tokens that hold this share of probability.", 1f, value => value is > 0 and <= 1, "above 0 and at most 1");
        Option<ulong?> seed = new("--seed") { Description = "The same seed gives the same text." };
        Option<string[]> stop = EngineArguments.Stop("Stop before this text; may be given several times.");
        Option<bool> ignoreEos = new("--ignore-eos") { Description = "Go on after the end-of-sequence token." };
        Option<bool> json = new("--json") { Description = "Only JSON on standard output: ids, text, finish_reason, timings, speculation." };
        Option<int> threads = EngineArguments.Threads();
        Option<WeightPages> pages = EngineArguments.WeightPages();
        Option<string?> speculate = EngineArguments.Speculate();
        Option<string?> sparseVerify = SparseVerifyArgument.Create();
        AdapterArguments adapters = new(rows: false);
        Command command = new("generate", "Complete a prompt.")
        {
            folder, prompt, ids, maxNewTokens, temperature, topK, topP, seed, stop, ignoreEos, json, threads, pages, speculate, sparseVerify,
        };
        adapters.AddTo(command);
        command.SetAction(async (result, cancellationToken) =>
        {
            string? text = result.GetValue(prompt);
            string? list = result.GetValue(ids);
            if (text is null == list is null)
            {
                throw new UsageException("give either --prompt or --ids");
            }

            AdapterSelection selection = adapters.Read(result);
            GenerationRequest request = new()
            {
                Adapter = selection.Use,
                Prompt = text,
                PromptIds = list is null ? null : TokenIds.Parse(list),
                Options = new GenerationOptions
                {
                    MaxNewTokens = result.GetValue(maxNewTokens),
                    Temperature = result.GetValue(temperature),
                    TopK = result.GetValue(topK),
                    TopP = result.GetValue(topP),
                    Seed = result.GetValue(seed),
                    StopStrings = result.GetValue(stop) ?? [],
                    IgnoreEos = result.GetValue(ignoreEos),
                },
            };
            await using InferenceEngine engine = EngineArguments.Load(
                result.GetRequiredValue(folder),
                new EngineOptions
                {
                    Threads = result.GetValue(threads),
                    WeightPages = result.GetValue(pages),
                    Adapters = selection.Adapters,
                    Speculation = SparseVerifyArgument.Apply(EngineArguments.Speculation(result.GetValue(speculate)), result.GetValue(sparseVerify)),
                },
                result.InvocationConfiguration.Error);
            TextWriter output = result.InvocationConfiguration.Output;
            if (result.GetValue(json))
            {
                GenerationResult done = await engine.GenerateAsync(request, cancellationToken).ConfigureAwait(false);
                await output.WriteLineAsync(JsonSerializer.Serialize(
                    new
                    {
                        done.Ids,
                        done.Text,
                        FinishReason = done.FinishReason.ToString().ToLowerInvariant(),
                        done.PromptTokens,
                        Timings = new
                        {
                            TimeToFirstTokenSeconds = done.TimeToFirstToken.TotalSeconds,
                            ElapsedSeconds = done.Elapsed.TotalSeconds,
                            TokensPerSecond = done.Ids.Count / Math.Max(done.Elapsed.TotalSeconds, 1e-9),
                        },
                        engine.Statistics.Speculation,
                    },
                    Json)).ConfigureAwait(false);
                return CommandHost.Success;
            }

            await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(request, cancellationToken).ConfigureAwait(false))
            {
                // Without a tokenizer there is no text to show: the ids are the answer.
                await output.WriteAsync(engine.Tokenizer is null ? $"{update.Id} " : update.Text).ConfigureAwait(false);
                await output.FlushAsync(cancellationToken).ConfigureAwait(false);
            }

            await output.WriteLineAsync().ConfigureAwait(false);

            // A cancelled stream ends like a finished one; the process must not look as if it had finished.
            cancellationToken.ThrowIfCancellationRequested();
            return CommandHost.Success;
        });
        return command;
    }
}
