using System.CommandLine;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train draft</c>: the multi-token-prediction head of a checkpoint from a file of JSON lines, everything else frozen.</summary>
internal static class DraftCommand
{
    public static Command Create()
    {
        FineTuningArguments arguments = new(
            "A LongCat checkpoint folder in Hugging Face layout, with tokenizer.json and a draft head (model.mtp tensors).",
            "The folder to write: the checkpoint with the trained head, and report.html.");
        AdapterArguments adapter = new(draftHead: true);
        Option<string> head = new("--head") { Description = "What to train: mtp, the multi-token-prediction head. A draft model of its own is trained with longcat-train lora.", Required = true };
        head.AcceptOnlyFromAmong("mtp");
        Command command = new("draft", "Train the draft head of a LongCat checkpoint, which speculative decoding proposes with; everything else stays as it is. The best texts are those that the model itself writes.");
        arguments.AddTo(command);
        command.Options.Add(head);
        adapter.AddTo(command);
        command.SetAction((result, cancellationToken) => Task.FromResult(arguments.Run(
            result, options => options with { DraftHead = true, Lora = adapter.Read(result, arguments.Seed(result)) }, cancellationToken)));
        return command;
    }
}
