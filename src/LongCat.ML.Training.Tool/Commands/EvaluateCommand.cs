using System.CommandLine;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Pretraining;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train evaluate</c>: held-out perplexity and draft agreement.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "A checkpoint folder with tokenizer.json." };
        Option<int> rows = TrainingArguments.Whole("--rows", "Packed rows to evaluate at most; 0 means all.", 0, least: 0);
        Option<int> columns = TrainingArguments.Whole("--columns", "Tokens per packed row.", 256, least: 8);
        Option<int> threads = TrainingArguments.Threads();
        Command command = new("evaluate", "Held-out perplexity on the SDK's documentation, and how often the draft head agrees with greedy decoding.") { checkpoint, rows, columns, threads };
        command.SetAction((result, cancellationToken) =>
        {
            TorchRuntime.Configure(result.GetValue(threads));
            string folder = result.GetRequiredValue(checkpoint);
            using var model = LongcatFlashForCausalLM.Load(folder);
            var documents = TrainingCorpus.Encode(HuggingFaceTokenizer.Load(folder), TrainingCorpus.Read().HeldOut, model.Config);
            var packed = PackedRows.Pack(documents, result.GetValue(columns), seed: 0);
            int limit = result.GetValue(rows);
            var report = HeldOutEvaluation.Run(model, packed, TrainingCorpus.EndOfSequence(model.Config), limit == 0 ? int.MaxValue : limit, cancellationToken: cancellationToken);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"held out: {report.Tokens} predicted tokens of {documents.Documents.Count} documents"));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"loss {report.Loss:F4} nats per token, perplexity {report.Perplexity:F3}"));
            if (double.IsFinite(report.DraftAgreement))
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"draft head: loss {report.DraftLoss:F4}, agrees with greedy decoding at {report.DraftAgreement * 100:F1}% of {report.DraftPositions} positions"));
            }

            return Task.FromResult(CommandHost.Success);
        });
        return command;
    }
}
