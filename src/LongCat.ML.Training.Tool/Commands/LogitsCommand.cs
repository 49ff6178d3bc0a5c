using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;
using TorchSharp;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train logits</c>: every position's logits from the modules, for parity checks.</summary>
internal static class LogitsCommand
{
    public static Command Create()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "A checkpoint folder in Hugging Face layout." };
        Option<string?> ids = new("--ids") { Description = "Token ids, for instance 1,2,3." };
        Option<string?> idsFile = new("--ids-file") { Description = "A safetensors file with input_ids I64 [batch, sequence]." };
        Option<string> output = new("--output", "-o") { Description = "The safetensors file to write: logits F32 [batch, sequence, vocabulary].", Required = true };
        Option<string?> adapter = new("--adapter") { Description = "A PEFT adapter's folder; also one that is still annealing (AFA-LoRA), with the β it was saved with." };
        Option<int> threads = TrainingArguments.Threads();
        Command command = new("logits", "Run the modules once over token ids and write all logits.") { checkpoint, ids, idsFile, output, adapter, threads };
        command.SetAction((result, cancellationToken) =>
        {
            string? list = result.GetValue(ids);
            string? file = result.GetValue(idsFile);
            if (list is null == file is null)
            {
                throw new UsageException("give either --ids or --ids-file");
            }

            TorchRuntime.Configure(result.GetValue(threads));
            var (tokens, rows) = list is not null ? (Parse(list), 1) : Read(file!);
            using var peft = result.GetValue(adapter) is { } folder ? PeftAdapter.Load(folder) : null;
            using var model = CausalLanguageModel.Load(result.GetRequiredValue(checkpoint));
            using var adapted = peft is null ? null : AdaptedModel.Attach(model, peft);
            Write(model, tokens, rows, result.GetRequiredValue(output), cancellationToken);
            return Task.FromResult(CommandHost.Success);
        });
        return command;
    }

    private static void Write(CausalLanguageModel model, long[] tokens, int rows, string output, CancellationToken cancellationToken)
    {
        int columns = tokens.Length / rows;
        if (columns > model.Config.MaxPositions)
        {
            throw new InvalidDataException($"logits were asked for over {columns} tokens; the model's longest sequence is {model.Config.MaxPositions}");
        }

        using var writer = SafetensorsWriter.Create(output, [new TensorDeclaration("logits", TensorType.Float32, [rows, columns, model.Config.VocabSize])]);
        using var progress = new ProgressLine("logits", " rows");
        using (var stream = writer.OpenTensor("logits"))
        {
            using var frozen = torch.no_grad();
            for (int row = 0; row < rows; row++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                using var scope = torch.NewDisposeScope();
                using var batch = new SequenceBatch(tokens.AsSpan(row * columns, columns).ToArray(), 1, columns);
                stream.Write(model.Logits(model.Forward(batch).Hidden).bytes);
                progress.Report(row + 1, rows);
            }
        }

        writer.Complete();
    }

    private static long[] Parse(string list)
    {
        string[] parts = list.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return parts.Length == 0
            ? throw new UsageException("--ids is empty, expected token ids such as 1,2,3")
            : [.. parts.Select(part => long.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out long id)
                ? id
                : throw new UsageException($"--ids holds '{part}', expected whole numbers from 0 such as 1,2,3"))];
    }

    private static (long[] Tokens, int Rows) Read(string path)
    {
        using var file = SafetensorsFile.Open(path);
        var entry = file.Entry("input_ids");
        if (entry.Type != TensorType.Int64 || entry.Shape.Count != 2 || entry.Shape[0] < 1 || entry.Shape[1] < 1)
        {
            throw new CheckpointException(path, "input_ids", $"is {entry.Type} [{string.Join(", ", entry.Shape)}], expected Int64 [batch, sequence] with at least one token");
        }

        return (MemoryMarshal.Cast<byte, long>(file.GetBytes("input_ids")).ToArray(), checked((int)entry.Shape[0]));
    }
}
