using System.CommandLine;
using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat logits</c>: every position's logits, for parity checks.</summary>
internal static class LogitsCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "An ONNX folder written by longcat export." };
        Option<string?> ids = new("--ids") { Description = "Token ids, for instance 1,2,3." };
        Option<string?> idsFile = new("--ids-file") { Description = "A safetensors file with input_ids I64 [batch, sequence]." };
        Option<string> output = new("--output", "-o") { Description = "The safetensors file to write: logits F32 [batch, sequence, vocabulary].", Required = true };
        Option<int> threads = EngineArguments.Threads();
        AdapterArguments adapters = new(rows: false);
        Command command = new("logits", "Run the model once over token ids and write all logits.") { folder, ids, idsFile, output, threads };
        adapters.AddTo(command);
        command.SetAction(async (result, cancellationToken) =>
        {
            string? list = result.GetValue(ids);
            string? file = result.GetValue(idsFile);
            if (list is null == file is null)
            {
                throw new UsageException("give either --ids or --ids-file");
            }

            AdapterSelection selection = adapters.Read(result);
            int[][] rows = list is not null ? [TokenIds.Parse(list)] : TokenIds.Read(file!);
            await using InferenceEngine engine = InferenceEngine.Load(
                result.GetRequiredValue(folder), new EngineOptions { Threads = result.GetValue(threads), Adapters = selection.Adapters });
            long vocabulary = engine.Manifest.VocabSize;
            using SafetensorsWriter writer = SafetensorsWriter.Create(
                result.GetRequiredValue(output),
                [new TensorDeclaration("logits", TensorType.Float32, [rows.Length, rows.Length == 0 ? 0 : rows[0].Length, vocabulary])]);
            using (Stream stream = writer.OpenTensor("logits"))
            {
                using ProgressLine line = new("logits", " rows");
                for (int row = 0; row < rows.Length; row++)
                {
                    float[] logits = await engine.LogitsAsync(rows[row], selection.Use, cancellationToken).ConfigureAwait(false);
                    stream.Write(MemoryMarshal.AsBytes<float>(logits));
                    line.Report(row + 1, rows.Length);
                }
            }

            writer.Complete();
            return CommandHost.Success;
        });
        return command;
    }
}
