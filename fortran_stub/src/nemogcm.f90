!> The model: start, time loop, end.
module nemogcm
   use, intrinsic :: iso_fortran_env, only: output_unit
   use par_kind, only: wp
   use dom_oce, only: ln_1st_euler, l_1st_euler, ln_meshmask
   use par_oce, only: Ni0glo, Nj0glo, jpk
   use in_out_manager, only: lwp, numout, cn_exp, nn_it000, nn_itend, nn_date0, nn_leapy, ln_rstart, nn_rstctl, cn_ocerst_in, &
   &  nn_stock, nn_write, nn_stat, ln_cpl
   use lib_mpp, only: mpp_start, mppstop, ctl_stop, mppsize
   use namread, only: nam_open, nam_next, nam_check, nam_where, cnam, cerr
   use cplstp, only: l_cpl, l_describe, cpl_oce_define, cpl_oce_stop, cpl_oce_end
   use usrdef, only: usr_def_nam
   use mppini, only: mpp_init
   use domain, only: dom_init
   use daymod, only: day_init
   use oce, only: oce_alloc, ts, Nbb, Nnn
   use istate, only: istate_init
   use restart, only: rst_read
   use sbcmod, only: sbc_init
   use dynldf, only: dyn_ldf_init
   use dynzb20, only: dyn_zb20_init, ln_zb20_fb
   use traadv, only: tra_init, ln_tra
   use asmpar, only: asm_par_init, l_asminc
   use diawri, only: dia_wri_init, dia_wri_close, dia_wri_mesh
   use trd, only: trd_init, trd_close
   use rhsmod, only: rhs_init, rhs_run, ln_rhs
   use stpctl, only: stp_ctl_close
   use stpmod, only: stp
   use timing, only: timing_start, timing_stop, timing_finalize, jptim_all
   implicit none
   private
   public :: nemo_gcm

contains

   !> Run the model.
   subroutine nemo_gcm(localComm)
      integer, optional, intent(in) :: localComm   !< communicator of the ocean ranks; absent: all ranks of the job
      integer :: istp, irec

      call nemo_init(localComm)
      if (l_describe) then
         call mppstop()
         return
      end if
      call timing_start(jptim_all)
      if (ln_rhs) then
         call rhs_run(irec)
         call timing_stop(jptim_all)
         call timing_finalize(irec)
         if (lwp) write (numout, '(a,i0,a)') ' gyre: run ended well, right-hand sides of ', irec, ' records'
      else
         istp = nn_it000
         do while (istp <= nn_itend)
            if (l_cpl) call cpl_oce_stop(istp)
            call stp(istp)
            istp = istp + 1
         end do
         call timing_stop(jptim_all)
         call trd_close()
         call dia_wri_close()
         if (l_cpl) call cpl_oce_end()
         call timing_finalize(nn_itend - nn_it000 + 1)
         call stp_ctl_close()
         if (lwp) write (numout, '(a,i0)') ' gyre: run ended well at kt = ', nn_itend
      end if
      call mppstop()
   end subroutine nemo_gcm

   !> Start MPI, read the namelists, set up domain and state.
   subroutine nemo_init(localComm)
      integer, optional, intent(in) :: localComm

      call mpp_start(localComm)
      if (lwp) write (numout, '(3a,i0,a,i0,a)') ' Halocline reference ocean, ', merge('single', 'double', &
      &  kind(1._wp) == kind(1.)), &
      &  ' precision (', storage_size(1._wp), ' bit), ', mppsize, ' ranks'
      call nam_open('namelist_ref', .false.)
      call nam_open('namelist_cfg', .true.)
      call nam_run()
      call day_init()
      call usr_def_nam()
      call mpp_init()
      call dom_init()
      call oce_alloc()
      call sbc_init()
      call dyn_ldf_init()
      call dyn_zb20_init()
      call tra_init()
      call asm_par_init(ln_tra)
      call rhs_init()
      if (ln_rhs .and. l_cpl .and. .not. l_describe) call ctl_stop('ln_rhs evaluates the ocean alone, ln_cpl asks for a coupler.', &
      &  nam_where('namrhs', 'ln_rhs'), 'Set one of them to .false.')
      if (ln_rhs .and. l_asminc) call ctl_stop('ln_rhs evaluates right-hand sides alone, &nam_asminc asks for analyses.', &
      &  nam_where('namrhs', 'ln_rhs'), 'Set one of them to .false.')
      if (ln_zb20_fb .and. .not. l_cpl) call ctl_stop('ln_zb20_fb waits for the flags of a coupler, this run has none.', &
      &  nam_where('namzb20', 'ln_zb20_fb'), 'Set it to .false., or ln_cpl = .true.')

      call istate_init()
      l_1st_euler = .true.
      if (ln_rstart .and. .not. ln_rhs) call begin_from_restart()
      if (.not. ln_tra) ts(:, :, :, :, :) = 0._wp
      if (l_cpl) call cpl_oce_define()
      if (l_describe) return
      if (ln_meshmask) call dia_wri_mesh()
      if (.not. ln_rhs) then
         call dia_wri_init()
         call trd_init()
      end if
      if (lwp) flush (numout)
   end subroutine nemo_init

   !> Read the restart; who only describes the run can do without, and says so.
   subroutine begin_from_restart()
      logical :: ll_there
      inquire (file=cn_ocerst_in, exist=ll_there)
      if (ll_there .or. .not. l_describe) then
         call rst_read(Nbb, Nnn)
      else if (lwp) then
         write (output_unit, '(5a)') "note: the ocean's restart '", trim(cn_ocerst_in), "' is not in the run folder; ", &
         &  'without it a run stops: ', nam_where('namrun', 'cn_ocerst_in')
      end if
   end subroutine begin_from_restart

   !> Read &namrun.
   subroutine nam_run()
      namelist /namrun/ cn_exp, nn_it000, nn_itend, nn_date0, nn_leapy, ln_rstart, nn_rstctl, cn_ocerst_in, nn_stock, nn_write, &
      &  nn_stat, ln_cpl
      integer :: ios
      do while (nam_next('namrun'))
         read (cnam, namrun, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (nn_it000 < 1) call ctl_stop('nn_it000 must be at least 1.', nam_where('namrun', 'nn_it000'))
      if (nn_itend < nn_it000) call ctl_stop('nn_itend must not be less than nn_it000.', nam_where('namrun', 'nn_itend'))
      if (.not. ln_rstart .and. nn_it000 /= 1) call ctl_stop('a run that begins from rest must begin with nn_it000 = 1.', &
      &  nam_where('namrun', 'nn_it000'), 'Set ln_rstart = .true. and cn_ocerst_in to continue.')
      if (nn_rstctl /= 0 .and. nn_rstctl /= 2) call ctl_stop('nn_rstctl must be 0 or 2.', nam_where('namrun', 'nn_rstctl'))
      if (ln_cpl .and. .not. l_cpl) call ctl_stop('ln_cpl was not recognised before the start of MPI.', &
      &  nam_where('namrun', 'ln_cpl'), 'Write it on a line of its own: ln_cpl = .true.')
      if (lwp) write (numout, '(3a,i0,a,i0)') ' nam_run: experiment ', trim(cn_exp), ', steps ', nn_it000, ' to ', nn_itend
   end subroutine nam_run
end module nemogcm
