"""What is measured: functions of numpy arrays that know no model and no judge; one idea a file."""
